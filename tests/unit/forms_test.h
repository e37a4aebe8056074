/*
** Layers of random form, for the types that compute element by element and
** those that move elements, and joins of blobs that are broadcast.  Included by
** layers_test.h, which has the shapes.
*/
#ifndef BINHASH_FORMS_TEST_H
#define BINHASH_FORMS_TEST_H

static inline shape form_scale(builder *b, const char *name,
                               const char *bottom, shape in) {
  char tensor[64], bias[80] = "";
  int one = 1;
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_values(b, tensor, -2, 2, 1, builder_pick(b, 0, 2) ? &in.c : &one);
  if (builder_pick(b, 0, 1)) {
    snprintf(tensor, sizeof(tensor), "%s.b", name);
    builder_values(b, tensor, -2, 2, 1, builder_pick(b, 0, 2) ? &in.c : &one);
    snprintf(bias, sizeof(bias), ",\"bias\":\"%s.b\"", name);
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Scale\",\"bottom\":[\"%s\"],"
                "\"weight\":\"%s.w\"%s", name, bottom, name, bias);
  return in;
}

static inline shape form_padding(builder *b, const char *name,
                                 const char *bottom, shape in) {
  static const char *const modes[] = {"constant", "reflect", "edge"};
  int mode = builder_pick(b, 0, 2), p[4];
  char value[32] = "";
  for (int i = 0; i < 4; i++) {
    int side = i % 2 ? in.w : in.h;
    p[i] = builder_pick(b, 0, mode == 1 && side < 4 ? side - 1 : 3);
  }
  if (mode == 0 && builder_pick(b, 0, 1)) {
    snprintf(value, sizeof(value), ",\"value\":%d", builder_pick(b, -9, 9));
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Padding\",\"bottom\":[\"%s\"],"
                "\"pad\":[%d,%d,%d,%d],\"mode\":\"%s\"%s", name, bottom, p[0],
                p[1], p[2], p[3], modes[mode], value);
  return (shape){in.c, in.h + p[0] + p[2], in.w + p[1] + p[3]};
}

static inline shape form_slice(builder *b, const char *name,
                               const char *bottom, shape in) {
  int side[3] = {in.c, in.h, in.w}, axis = builder_pick(b, 1, 3);
  int begin = builder_pick(b, 0, side[axis - 1] - 1);
  int end = builder_pick(b, begin + 1, side[axis - 1]);
  side[axis - 1] = end - begin;
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Slice\",\"bottom\":[\"%s\"],"
                "\"axis\":%d,\"begin\":%d,\"end\":%d", name, bottom, axis,
                begin, end);
  return (shape){side[0], side[1], side[2]};
}

/* The same values in another shape: some divisors of their number. */
static inline shape form_reshape(builder *b, const char *name,
                                 const char *bottom, shape in) {
  int n = in.c * in.h * in.w, c = 1, h = 1;
  for (int tries = 0; tries < 20; tries++) {
    c = builder_pick(b, 1, n < 40 ? n : 40);
    if (n % c == 0) break;
    c = 1;
  }
  for (int tries = 0; tries < 20; tries++) {
    h = builder_pick(b, 1, n / c < 40 ? n / c : 40);
    if (n / c % h == 0) break;
    h = 1;
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Reshape\",\"bottom\":[\"%s\"],"
                "\"dims\":[%d,%d,%d]", name, bottom, c, h, n / c / h);
  return (shape){c, h, n / c / h};
}

static inline shape form_permute(builder *b, const char *name,
                                 const char *bottom, shape in) {
  static const int orders[6][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3},
                                   {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};
  const int *o = orders[builder_pick(b, 0, 5)], side[3] = {in.c, in.h, in.w};
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Permute\",\"bottom\":[\"%s\"],"
                "\"order\":[%d,%d,%d]", name, bottom, o[0], o[1], o[2]);
  return (shape){side[o[0] - 1], side[o[1] - 1], side[o[2] - 1]};
}

static inline shape add_form(builder *b, nn_type type, const char *name,
                             const char *bottom, shape in) {
  char more[96] = "";
  const char *word = "HardSwish";
  int group;
  switch (type) {
    case NN_SCALE: return form_scale(b, name, bottom, in);
    case NN_PADDING: return form_padding(b, name, bottom, in);
    case NN_SLICE: return form_slice(b, name, bottom, in);
    case NN_RESHAPE: return form_reshape(b, name, bottom, in);
    case NN_PERMUTE: return form_permute(b, name, bottom, in);
    case NN_CLIP:
      word = "Clip";
      switch (builder_pick(b, 0, 2)) {
        case 0: snprintf(more, sizeof(more), ",\"min\":-0.5"); break;
        case 1: snprintf(more, sizeof(more), ",\"max\":0.75"); break;
        default: snprintf(more, sizeof(more), ",\"min\":0,\"max\":1.5");
      }
      break;
    case NN_HARD_SIGMOID:
      word = "HardSigmoid";
      if (builder_pick(b, 0, 1)) {
        snprintf(more, sizeof(more), ",\"alpha\":0.16666667,\"beta\":0.4");
      }
      break;
    case NN_SHUFFLE_CHANNEL:
      word = "ShuffleChannel";
      do group = builder_pick(b, 1, in.c); while (in.c % group);
      snprintf(more, sizeof(more), ",\"group\":%d", group);
      break;
    default: break;
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"%s\",\"bottom\":[\"%s\"]%s",
                name, word, bottom, more);
  return in;
}

/* A Constant whose sides are those of `in`, some of them 1. */
static inline shape add_constant(builder *b, const char *name, shape in) {
  char tensor[64];
  int side[3] = {in.c, in.h, in.w};
  for (int i = 0; i < 3; i++) {
    if (builder_pick(b, 0, 1)) side[i] = 1;
  }
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  /* apart from 0, so that what is divided by it stays finite */
  builder_values(b, tensor, 0.5f, 2, 3, side);
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Constant\",\"bottom\":[],"
                "\"weight\":\"%s\"", name, tensor);
  return (shape){side[0], side[1], side[2]};
}

/* The arithmetic of bottoms whose sides are alike or 1; `bottoms` is the list
** as it stands in the description.  DIV where the last is a constant. */
static inline void add_eltwise(builder *b, const char *name,
                               const char *bottoms, int count, int divide) {
  static const char *const words[] = {"SUM", "PROD", "MAX", "SUB", "DIV"};
  char coeff[128] = "";
  int which = builder_pick(b, 0, count > 2 ? 2 : 3 + divide);
  if (which == 0 && builder_pick(b, 0, 1)) {
    size_t at = (size_t)snprintf(coeff, sizeof(coeff), ",\"coeff\":[");
    for (int i = 0; i < count; i++) {
      at += (size_t)snprintf(coeff + at, sizeof(coeff) - at, i ? ",%g" : "%g",
                             builder_pick(b, -6, 6) / 4.0);
    }
    snprintf(coeff + at, sizeof(coeff) - at, "]");
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Eltwise\",\"bottom\":[%s],"
                "\"operation\":\"%s\"%s", name, bottoms, words[which], coeff);
}

#endif
