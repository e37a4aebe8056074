/*
** binhash-import: somebody's network as a model file.
**
**   binhash-import caffe DEPLOY.prototxt WEIGHTS.caffemodel -o MODEL [options]
**   binhash-import onnx NET.onnx -o MODEL [options]
**   binhash-import model FLOAT.safetensors --int8 IMAGES.db | --fp16 -o MODEL
**   binhash-import --list
**
** What binhash_load() reads, and so img_hash(image, 'mine'), comes out of here.
** README.md in this folder says what every option means; this file reads them,
** calls the reader of the format and then what all formats share (import.h).
** Nothing of it is linked into the extension, which reads one format.
**
** Exit status: 0, 1 when something failed, 2 when it was called wrongly.
** Warnings and errors go to standard error, one sentence a line, and name the
** file and the layer.  On failure nothing is written.
*/
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"

typedef struct tool_format {
  const char *name, *files;
  int paths;
  nn_status (*read)(import *im, const char *const *paths);
  const char *const *(*supported)(void);
} tool_format;

static const tool_format tool_formats[] = {
    {"caffe", "DEPLOY.prototxt WEIGHTS.caffemodel", 2, import_caffe,
     import_caffe_supported},
    {"onnx", "NET.onnx", 1, import_onnx, import_onnx_supported},
    /* there is nothing to read: it is a model already */
    {"model", "FLOAT.safetensors --int8 IMAGES.db | --fp16", 1, NULL, NULL}};

enum { TOOL_FORMATS = sizeof(tool_formats) / sizeof(*tool_formats) };

typedef struct tool_call {
  const tool_format *format;
  const char *paths[2];
  int path_count, list;
  import_options o;
} tool_call;

static int tool_usage(const char *problem, const char *what) {
  FILE *to = problem ? stderr : stdout;
  if (problem) fprintf(to, "binhash-import: %s%s\n", problem, what);
  fprintf(to, "usage:\n");
  for (int i = 0; i < TOOL_FORMATS; i++) {
    fprintf(to, "  binhash-import %s %s -o MODEL [options]\n",
            tool_formats[i].name, tool_formats[i].files);
  }
  fprintf(to,
          "  binhash-import --list\n"
          "options:\n"
          "  --name NAME            of the model's head\n"
          "  --latent LAYER --features LAYER --classifier LAYER\n"
          "  --mean FILE | A,B,C    to take off each channel\n"
          "  --std A,B,C            to divide each channel by\n"
          "  --order rgb | bgr      of the channels\n"
          "  --resize N | WxH       of the picture\n"
          "  --crop N | WxH         what the network sees of it\n"
          "  --hash LAYER --bits N  a latent layer on LAYER's output\n"
          "  --hash-method rotation | itq     and --seed N\n"
          "  --images DB.db         images to learn the hash from\n"
          "  --table NAME --column NAME       where they are (images, image)\n"
          "  --limit N              of them that are used (2000)\n"
          "  --int8 DB.db           the exact integer form, calibrated on its\n"
          "                         images (at most 1024)\n"
          "  --activation-bits 7 | 8          that --int8's layers write (7)\n"
          "  --verbose              what --int8 costs each layer\n"
          "  --fp16                 weights of inner products in 16 bits\n");
  return problem ? 2 : 0;
}

/* Arguments ---------------------------------------------------------------- */

static int tool_integer(const char *text, long low, long high, long *out) {
  char *end;
  errno = 0;
  *out = strtol(text, &end, 10);
  return !errno && end != text && !*end && *out >= low && *out <= high;
}

/* One number for all three, or three with commas between. */
static int tool_triple(const char *text, float *out) {
  int n = 0;
  while (n < 3) {
    char *end;
    out[n] = strtof(text, &end);
    if (end == text || !(out[n] >= -1e9f && out[n] <= 1e9f)) return 0;
    n++;
    text = end;
    if (*text != ',') break;
    text++;
  }
  if (*text || (n != 1 && n != 3)) return 0;
  if (n == 1) out[1] = out[2] = out[0];
  return 1;
}

/* N or WxH, as [height, width]. */
static int tool_size(const char *text, int *out, int *square) {
  char *end;
  long w = strtol(text, &end, 10), h = w;
  *square = *end != 'x';
  if (end == text) return 0;
  if (!*square) {
    text = end + 1;
    h = strtol(text, &end, 10);
    if (end == text) return 0;
  }
  if (*end || w < 1 || h < 1 || w > NN_SIDE_MAX || h > NN_SIDE_MAX) return 0;
  out[0] = (int)h;
  out[1] = (int)w;
  return 1;
}

/* "rgb" and "bgr", "rotation" and "itq": 0 or 1, -1 for neither. */
static int tool_choice(const char *text, const char *zero, const char *one) {
  return strcmp(text, zero) == 0 ? 0 : strcmp(text, one) == 0 ? 1 : -1;
}

/* Options whose value is a string as it stands. */
static const char **tool_string(import_options *o, const char *option) {
  const struct {
    const char *option;
    const char **to;
  } strings[] = {{"-o", &o->output},           {"--name", &o->name},
                 {"--latent", &o->latent},     {"--features", &o->features},
                 {"--hash", &o->hash},         {"--classifier", &o->classifier},
                 {"--images", &o->images},     {"--table", &o->table},
                 {"--column", &o->column},     {"--int8", &o->int8}};
  for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
    if (strcmp(strings[i].option, option) == 0) return strings[i].to;
  }
  return NULL;
}

/* 1: an option with its value was read, 0: the value is wrong, -1: unknown. */
static int tool_option(import_options *o, const char *option,
                       const char *value) {
  int square, choice;
  long n;
  const char **string = tool_string(o, option);
  if (string) {
    *string = value;
    return *value != 0;
  }
  if (strcmp(option, "--mean") == 0) {
    o->has_mean = tool_triple(value, o->mean);
    o->mean_file = o->has_mean ? NULL : value;
    return *value != 0;
  }
  if (strcmp(option, "--std") == 0) {
    return o->has_std = tool_triple(value, o->std);
  }
  if (strcmp(option, "--order") == 0) {
    choice = tool_choice(value, "rgb", "bgr");
    o->bgr = choice == 1;
    return o->has_order = choice >= 0;
  }
  if (strcmp(option, "--resize") == 0) {
    return o->has_resize = tool_size(value, o->resize, &o->resize_crop);
  }
  if (strcmp(option, "--crop") == 0) {
    return o->has_crop = tool_size(value, o->crop, &square);
  }
  if (strcmp(option, "--hash-method") == 0) {
    choice = tool_choice(value, "rotation", "itq");
    o->itq = choice == 1;
    return choice >= 0;
  }
  const struct {
    const char *option;
    long low, high;
    int *to;
  } numbers[] = {{"--bits", 1, 1024, &o->bits},
                 {"--activation-bits", 7, 8, &o->activation_bits},
                 {"--limit", 1, 1000000, &o->limit}};
  for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
    if (strcmp(option, numbers[i].option)) continue;
    int ok = tool_integer(value, numbers[i].low, numbers[i].high, &n);
    *numbers[i].to = (int)n;
    return ok;
  }
  if (strcmp(option, "--seed") == 0) {
    int ok = tool_integer(value, 0, LONG_MAX, &n);
    o->seed = (uint64_t)n;
    return ok;
  }
  return -1;
}

static int tool_word(tool_call *call, const char *word) {
  if (call->format) {
    if (call->path_count == call->format->paths) {
      return tool_usage("one network at a time, not also ", word);
    }
    call->paths[call->path_count++] = word;
    return 0;
  }
  for (int i = 0; i < TOOL_FORMATS; i++) {
    if (strcmp(tool_formats[i].name, word) == 0) {
      call->format = &tool_formats[i];
    }
  }
  return call->format ? 0 : tool_usage("unknown format ", word);
}

/* A model file has its preprocessing and its heads. */
static int tool_consistent_model(const import_options *o) {
  if (o->name || o->latent || o->features || o->classifier || o->mean_file ||
      o->has_mean || o->has_std || o->has_order || o->has_resize ||
      o->has_crop || o->hash || o->bits || o->itq || o->images) {
    return tool_usage("a model is as it is, and takes only ",
                      "--int8, --activation-bits, --table, --column, --limit "
                      "and --verbose, or --fp16");
  }
  return o->int8 || o->fp16
             ? 0
             : tool_usage("a model wants ", "--int8 DB.db or --fp16");
}

/* What goes together, once all is read. */
static int tool_consistent(const tool_call *call) {
  const import_options *o = &call->o;
  if (call->list) return 0;
  if (!call->format) return tool_usage("no format given", "");
  if (call->path_count < call->format->paths) {
    return tool_usage("files are missing: ", call->format->files);
  }
  if (!o->output) return tool_usage("-o MODEL is missing", "");
  if ((o->verbose || o->activation_bits) && !o->int8) {
    return tool_usage(
        o->verbose ? "--verbose wants " : "--activation-bits wants ",
        "--int8 DB.db");
  }
  if (o->fp16 && o->int8) {
    return tool_usage("--fp16 is for floats, --int8 has none: ",
                      "give one of them");
  }
  if (!call->format->read) return tool_consistent_model(o);
  if (!o->hash != !o->bits) {
    return tool_usage("--hash LAYER and --bits N go together", "");
  }
  if (o->hash && o->latent) {
    return tool_usage("--hash makes the latent layer, --latent names one: ",
                      "give one of them");
  }
  if (!o->hash && (o->itq || o->images)) {
    return tool_usage("--hash-method and --images want ", "--hash LAYER");
  }
  if (o->itq && !o->images) {
    return tool_usage("--hash-method itq wants ", "--images DB.db");
  }
  return 0;
}

static int tool_arguments(int argc, char **argv, tool_call *call) {
  for (int i = 1; i < argc; i++) {
    const char *option = argv[i];
    if (strcmp(option, "--list") == 0) {
      call->list = 1;
    } else if (strcmp(option, "--verbose") == 0) {
      call->o.verbose = 1;
    } else if (strcmp(option, "--fp16") == 0) {
      call->o.fp16 = 1;
    } else if (strcmp(option, "--help") == 0) {
      tool_usage(NULL, NULL);
      exit(0);
    } else if (option[0] == '-') {
      int read = tool_option(&call->o, option, i + 1 < argc ? argv[i + 1] : "");
      if (read < 0) return tool_usage("unknown option ", option);
      if (!read) {
        return tool_usage("what follows is missing or out of range: ", option);
      }
      i++;
    } else if (tool_word(call, option)) {
      return 2;
    }
  }
  return tool_consistent(call);
}

/* Work --------------------------------------------------------------------- */

static void tool_list(void) {
  for (int i = 0; i < TOOL_FORMATS; i++) {
    if (!tool_formats[i].supported) continue;
    const char *const *name = tool_formats[i].supported();
    int column = printf("%s:", tool_formats[i].name);
    for (; *name; name++) {
      if (column + strlen(*name) > 76) column = printf("\n ") - 1;
      column += printf(" %s", *name);
    }
    printf("\n");
  }
}

static void tool_warn(void *context, const char *sentence) {
  (void)context;
  fprintf(stderr, "binhash-import: warning: %s\n", sentence);
}

/* The head's name: the file's, without its folder and ending. */
static const char *tool_name(import *im) {
  const char *path = im->options.output, *slash = strrchr(path, '/');
  char *name = import_copy(im, slash ? slash + 1 : path);
  char *dot = name ? strrchr(name, '.') : NULL;
  if (dot && dot > name) *dot = 0;
  return name;
}

/* --fp16 or --int8 of the model file, or of the graph where there is none. */
static nn_status tool_convert(import *im, const char *path) {
  nn_model *model;
  nn_status status = path ? import_model(im, path, &model)
                          : import_trial(im, &model);
  if (status) return status;
  status = im->options.int8 ? import_int8(im, model) : import_half(im, model);
  nn_model_close(model);
  return status;
}

static nn_status tool_import(import *im, const tool_call *call) {
  const import_options *o = &im->options;
  if (!call->format->read) return tool_convert(im, call->paths[0]);
  nn_status status = call->format->read(im, call->paths);
  im->file = call->paths[0];
  if (!status) status = import_preprocessing(im);
  if (!status && o->hash) status = import_hash(im);
  if (!status) status = import_head(im);
  im->file = call->paths[0];
  if (status) return status;
  return o->int8 || o->fp16 ? tool_convert(im, NULL)
                            : import_write(im, o->output);
}

static void tool_report(const import *im) {
  if (!im->layers) {
    printf("%s\n", im->options.output);
    return;
  }
  const import_layer *input = im->layers;
  printf("%s: %d layers, %d tensors, input %d x %d x %d\n", im->options.output,
         im->layer_count - 1, im->tensor_count, input->shape[0],
         input->shape[1], input->shape[2]);
  if (!im->latent) return;
  printf("%s: latent %s, features %s, classifier %s\n", im->options.name,
         im->latent->name,
         im->features ? im->features->name : "(none)",
         im->classifier ? im->classifier->name : "(none)");
}

int main(int argc, char **argv) {
  tool_call call = {.o = {.table = "images", .column = "image", .limit = 2000,
                          .seed = 1}};
  import im;
  int failed = tool_arguments(argc, argv, &call);
  if (failed) return failed;
  if (call.list) {
    tool_list();
    return 0;
  }
  import_open(&im, &nn_memory_libc);
  im.options = call.o;
  im.warn = tool_warn;
  if (!im.options.name) im.options.name = tool_name(&im);
  if (!im.options.name || tool_import(&im, &call)) {
    import_no_memory(&im);   /* unless the error says something better */
    fprintf(stderr, "binhash-import: %s\n", im.error);
    failed = 1;
  } else {
    tool_report(&im);
  }
  import_close(&im);
  return failed;
}
