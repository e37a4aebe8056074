/*
** Constants of an ONNX file: arrays of numbers in one of a dozen types and in
** one of two forms, as a message's list or as raw bytes.
**
** Everything ends as float32 or as 64-bit integers.  Floats that lie in the
** file as they are needed (raw, little-endian, aligned by the unpacking) are
** used where they lie; the weights of a network are hundreds of megabytes.  The
** shape and the number of values are the file's claim and must agree.
*/
#include <math.h>
#include <string.h>

#include "onnx.h"

enum {   /* TensorProto.DataType */
  TENSOR_FLOAT = 1,
  TENSOR_UINT8 = 2,
  TENSOR_INT8 = 3,
  TENSOR_UINT16 = 4,
  TENSOR_INT16 = 5,
  TENSOR_INT32 = 6,
  TENSOR_INT64 = 7,
  TENSOR_BOOL = 9,
  TENSOR_FLOAT16 = 10,
  TENSOR_DOUBLE = 11,
  TENSOR_UINT32 = 12,
  TENSOR_UINT64 = 13,
  TENSOR_BFLOAT16 = 16
};

static size_t tensor_size(int type) {
  switch (type) {
    case TENSOR_UINT8:
    case TENSOR_INT8:
    case TENSOR_BOOL: return 1;
    case TENSOR_UINT16:
    case TENSOR_INT16:
    case TENSOR_FLOAT16:
    case TENSOR_BFLOAT16: return 2;
    case TENSOR_FLOAT:
    case TENSOR_INT32:
    case TENSOR_UINT32: return 4;
    case TENSOR_INT64:
    case TENSOR_DOUBLE:
    case TENSOR_UINT64: return 8;
  }
  return 0;
}

static int tensor_is_float(int type) {
  return type == TENSOR_FLOAT || type == TENSOR_FLOAT16 ||
         type == TENSOR_DOUBLE || type == TENSOR_BFLOAT16;
}

nn_status onnx_new_tensor(onnx *o, int rank, const int64_t *dims,
                          float **floats, int64_t **ints, onnx_tensor **out) {
  onnx_tensor *t = import_alloc(o->im, 1, sizeof(*t));
  if (!t) return NN_NOMEM;
  if (rank < 0 || rank > ONNX_RANK) {
    return onnx_fail(o, "a constant of %d sides, %d can be", rank, ONNX_RANK);
  }
  t->rank = rank;
  t->count = 1;
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 0) {
      return onnx_fail(o, "a constant of %s",
                       import_shape_text(o->im, rank, dims));
    }
    t->dims[i] = dims[i];
    t->count = nn_mul(t->count, (size_t)dims[i]);
  }
  if (floats) {
    *floats = import_alloc(o->im, t->count, sizeof(**floats));
    t->floats = *floats;
  } else if (ints) {
    *ints = import_alloc(o->im, t->count, sizeof(**ints));
    t->ints = *ints;
  }
  *out = t;
  return (floats && !*floats) || (!floats && ints && !*ints) ? NN_NOMEM
                                                             : NN_OK;
}

/* Raw bytes ---------------------------------------------------------------- */

static uint64_t tensor_little(const uint8_t *p, size_t size) {
  uint64_t x = 0;
  for (size_t i = 0; i < size; i++) x |= (uint64_t)p[i] << 8 * i;
  return x;
}

static float tensor_half(uint16_t x) {
  int exponent = x >> 10 & 31, fraction = x & 1023;
  float value = exponent == 31 ? fraction ? NAN : INFINITY
                : exponent ? ldexpf((float)(fraction + 1024), exponent - 25)
                           : ldexpf((float)fraction, -24);
  return x & 0x8000 ? -value : value;
}

static float tensor_single(uint32_t x) {
  float value;
  memcpy(&value, &x, sizeof(value));
  return value;
}

static float tensor_to_float(uint64_t x, int type) {
  double value;
  switch (type) {
    case TENSOR_FLOAT16: return tensor_half((uint16_t)x);
    case TENSOR_BFLOAT16: return tensor_single((uint32_t)x << 16);
    case TENSOR_DOUBLE:
      memcpy(&value, &x, sizeof(value));
      return (float)value;
  }
  return tensor_single((uint32_t)x);
}

static int64_t tensor_to_int(uint64_t x, int type) {
  switch (type) {
    case TENSOR_INT8: return (int8_t)x;
    case TENSOR_INT16: return (int16_t)x;
    case TENSOR_INT32: return (int32_t)x;
  }
  return (int64_t)x;
}

static int tensor_is_little(void) {
  const uint16_t one = 1;
  uint8_t first;
  memcpy(&first, &one, 1);
  return first;
}

static nn_status tensor_raw(onnx *o, const OnnxTensor *proto, int type,
                            onnx_tensor *t) {
  size_t size = tensor_size(type);
  const uint8_t *p = proto->raw_data.data;
  if (type == TENSOR_FLOAT && tensor_is_little() &&
      (uintptr_t)p % sizeof(float) == 0 && t->count) {
    t->floats = (const float *)(const void *)p;
    return NN_OK;
  }
  if (tensor_is_float(type)) {
    float *to = import_alloc(o->im, t->count, sizeof(*to));
    if (!to) return NN_NOMEM;
    t->floats = to;
    for (size_t i = 0; i < t->count; i++, p += size) {
      to[i] = tensor_to_float(tensor_little(p, size), type);
    }
    return NN_OK;
  }
  int64_t *to = import_alloc(o->im, t->count, sizeof(*to));
  if (!to) return NN_NOMEM;
  t->ints = to;
  for (size_t i = 0; i < t->count; i++, p += size) {
    to[i] = tensor_to_int(tensor_little(p, size), type);
  }
  return NN_OK;
}

/* Lists -------------------------------------------------------------------- */

/* How many values the list of that type has. */
static size_t tensor_listed(const OnnxTensor *proto, int type) {
  switch (type) {
    case TENSOR_FLOAT: return proto->n_float_data;
    case TENSOR_DOUBLE: return proto->n_double_data;
    case TENSOR_INT64: return proto->n_int64_data;
    case TENSOR_UINT32:
    case TENSOR_UINT64: return 0;   /* in a list that is not read */
  }
  return proto->n_int32_data;
}

static nn_status tensor_list(onnx *o, const OnnxTensor *proto, int type,
                             onnx_tensor *t) {
  if (type == TENSOR_FLOAT) {
    t->floats = proto->float_data;
    return NN_OK;
  }
  if (type == TENSOR_INT64) {
    t->ints = proto->int64_data;
    return NN_OK;
  }
  float *floats = NULL;
  int64_t *ints = NULL;
  if (tensor_is_float(type)) {
    t->floats = floats = import_alloc(o->im, t->count, sizeof(*floats));
  } else {
    t->ints = ints = import_alloc(o->im, t->count, sizeof(*ints));
  }
  if (!floats && !ints) return NN_NOMEM;
  for (size_t i = 0; i < t->count; i++) {
    if (type == TENSOR_DOUBLE) {
      floats[i] = (float)proto->double_data[i];
    } else if (floats) {
      floats[i] = tensor_to_float((uint16_t)proto->int32_data[i], type);
    } else {
      ints[i] = proto->int32_data[i];
    }
  }
  return NN_OK;
}

nn_status onnx_read_tensor(onnx *o, const char *name, const OnnxTensor *proto,
                           const onnx_tensor **out) {
  nn_shown shown = nn_shown_name(name);
  int type = proto->data_type;
  onnx_tensor *t;
  if (proto->data_location == 1 || proto->n_external_data) {
    return onnx_fail(o, "the values of %s lie in another file, which is not "
                     "supported; save the model with its tensors inside",
                     shown.text);
  }
  if (!tensor_size(type)) {
    return onnx_fail(o, "the values of %s have type %d, which is not "
                     "supported", shown.text, type);
  }
  nn_status status = onnx_new_tensor(
      o, proto->n_dims > ONNX_RANK ? ONNX_RANK + 1 : (int)proto->n_dims,
      proto->dims, NULL, NULL, &t);
  if (status) return status;
  size_t has = proto->raw_data.len / tensor_size(type);
  if (!proto->has_raw_data) has = tensor_listed(proto, type);
  if (has != t->count ||
      (proto->has_raw_data && proto->raw_data.len % tensor_size(type))) {
    return onnx_fail(o, "%s has %zu values, its shape, %s, wants %zu",
                     shown.text, has,
                     import_shape_text(o->im, t->rank, t->dims), t->count);
  }
  *out = t;
  if (!t->count) {   /* an array without values, of a type it still has */
    static const float no_floats[1];
    static const int64_t no_ints[1];
    if (tensor_is_float(type)) t->floats = no_floats;
    else t->ints = no_ints;
    return NN_OK;
  }
  return proto->has_raw_data ? tensor_raw(o, proto, type, t)
                             : tensor_list(o, proto, type, t);
}
