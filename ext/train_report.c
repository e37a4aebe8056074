/*
** What binhash_train says of a run, as JSON: what it was given, what it could
** not use, how well the codes do, and in words what looks wrong.
**
**   SELECT value FROM binhash_models AS m, json_each(m.report, '$.warnings')
**   WHERE m.name = 'mine';
**
** The same text is in the model's metadata, so a model still says years later
** what it was made of.  Only the seconds are left out there: two runs with one
** seed give one file.
*/
#include <string.h>

#include "train_int.h"
SQLITE_EXTENSION_INIT3

#define REPORT_FEW 10        /* images that a class should have */
#define REPORT_NOISE 0.05    /* doubtful labels that are worth a warning */
#define REPORT_LEARNS 0.9    /* of the loss of guessing: not learning */

/* A JSON string of UTF-8. */
static void report_string(sqlite3_str *s, const char *text) {
  sqlite3_str_appendchar(s, 1, '"');
  for (; *text; text++) {
    unsigned char ch = (unsigned char)*text;
    if (ch < 0x20) {
      sqlite3_str_appendf(s, "\\u%04x", ch);
      continue;
    }
    if (ch == '"' || ch == '\\') sqlite3_str_appendchar(s, 1, '\\');
    sqlite3_str_appendchar(s, 1, *text);
  }
  sqlite3_str_appendchar(s, 1, '"');
}

/* A share, null where there is none. */
static void report_share(sqlite3_str *s, const char *key, double value) {
  if (value < 0) sqlite3_str_appendf(s, ",\"%s\":null", key);
  else sqlite3_str_appendf(s, ",\"%s\":%.4f", key, value);
}

/* What was given ----------------------------------------------------------- */

static void report_options(sqlite3_str *s, const bh_train_run *run) {
  const nn_train_options *o = run->options;
  sqlite3_str_appendall(s, "{\"base\":");
  report_string(s, run->base->name);
  sqlite3_str_appendf(s, ",\"base_sha256\":\"%s\",\"bits\":%d,\"epochs\":%d,"
                      "\"batch\":%d,\"rate\":%g,\"seed\":%lld,"
                      "\"validation\":%g",
                      run->base->sha256, run->result->bits, o->epochs,
                      o->batch, o->rate, (sqlite3_int64)o->seed,
                      o->validation);
}

static void report_rows(sqlite3_str *s, const bh_train_run *run) {
  const bh_train_rows *r = run->rows;
  sqlite3_str_appendf(s, ",\"rows\":%lld,\"repeated\":%lld,\"skipped\":{"
                      "\"null_images\":%lld,\"null_labels\":%lld,"
                      "\"labels\":%lld,\"images\":%lld,\"first\":[",
                      r->rows, r->repeated, r->null_images, r->null_labels,
                      r->labels, r->images);
  for (int i = 0; i < r->complaints; i++) {
    sqlite3_str_appendf(s, "%s{\"row\":%lld,\"error\":", i ? "," : "",
                        r->complaint[i].row);
    report_string(s, r->complaint[i].text);
    sqlite3_str_appendchar(s, 1, '}');
  }
  sqlite3_str_appendall(s, "]}");
}

static void report_result(sqlite3_str *s, const bh_train_run *run) {
  const nn_train_result *r = run->result;
  sqlite3_str_appendf(s, ",\"images\":%d,\"labels\":%lld,\"several\":%d,"
                      "\"held_out\":%d,\"features\":%d,\"classes\":%d,"
                      "\"old_classes\":%d,\"replayed\":%d,"
                      "\"loss\":{\"first\":%.4f,\"last\":%.4f,\"chance\":%.4f}",
                      r->images, (sqlite3_int64)r->labels, r->several,
                      r->held_out, r->features, r->classes,
                      nn_examples_old_classes(run->examples), r->replayed,
                      r->first_loss, r->loss, r->chance);
  report_share(s, "accuracy", r->accuracy);
  report_share(s, "map", r->map);
  report_share(s, "base_map", r->base_map);
  report_share(s, "replay_accuracy", r->replay_accuracy);
  report_share(s, "label_noise", r->noise);
  sqlite3_str_appendall(s, ",\"blas\":");
  if (r->blas) report_string(s, nn_blas_name());
  else sqlite3_str_appendall(s, "null");
}

/* Warnings ----------------------------------------------------------------- */

/* Warnings as they are made. */
typedef struct report_list {
  sqlite3_str *s;
  int n;
  int failed;              /* there was no memory for one */
} report_list;

/* One more; text is freed, and NULL is no memory. */
static void report_warning(report_list *list, char *text) {
  if (list->n++) sqlite3_str_appendchar(list->s, 1, ',');
  report_string(list->s, text ? text : "");
  list->failed |= !text;
  sqlite3_free(text);
}

/* Classes that have too few pictures. */
static void report_few(report_list *out, const bh_train_run *run) {
  const nn_examples *e = run->examples;
  sqlite3_str *names = sqlite3_str_new(NULL);
  int few = 0;
  for (int i = 0; i < nn_examples_classes(e); i++) {
    int size = nn_examples_class_size(e, i);
    if (size >= REPORT_FEW || (!size && i < nn_examples_old_classes(e)))
      continue;
    if (few++ < BH_TRAIN_NAMED)
      sqlite3_str_appendf(names, "%s'%s' (%d)", few > 1 ? ", " : "",
                          nn_examples_class_name(e, i), size);
  }
  char *list = sqlite3_str_finish(names);
  out->failed |= few && !list;
  if (few)
    report_warning(out, sqlite3_mprintf(
        "%d %s fewer than %d images: %s%s", few,
        few == 1 ? "class has" : "classes have", REPORT_FEW, list ? list : "",
        few > BH_TRAIN_NAMED ? " and more" : ""));
  sqlite3_free(list);
}

static void report_suspects(report_list *out, const nn_train_result *r) {
  sqlite3_str *rows = sqlite3_str_new(NULL);
  for (int i = 0; i < r->suspects; i++)
    sqlite3_str_appendf(rows, "%s%lld", i ? ", " : "",
                        (sqlite3_int64)r->suspect[i]);
  char *list = sqlite3_str_finish(rows);
  out->failed |= !list;
  report_warning(out, sqlite3_mprintf(
      "about %.0f %% of the labels look wrong; the most doubtful are in rows "
      "%s",
      100 * r->noise, list ? list : ""));
  sqlite3_free(list);
}

static void report_learning(report_list *out, const bh_train_run *run) {
  const nn_train_result *r = run->result;
  if (r->classes == 1) {
    report_warning(out, sqlite3_mprintf("the labels name a single class: "
                                         "there is nothing to tell apart"));
  } else if (r->loss > REPORT_LEARNS * r->chance) {
    report_warning(out, sqlite3_mprintf(
        "not learning: raise the rate, which is %g (the loss went from %.3f to "
        "%.3f, and guessing has %.3f)", run->options->rate, r->first_loss,
        r->loss, r->chance));
  } else if (r->noise > REPORT_NOISE) {
    report_suspects(out, r);
  }
}

static int report_warnings(sqlite3_str *s, const bh_train_run *run) {
  const nn_train_result *r = run->result;
  report_list list = {s, 0, 0}, *out = &list;
  sqlite3_str_appendall(s, ",\"warnings\":[");
  report_learning(out, run);
  report_few(out, run);
  if (run->rows->images)
    report_warning(out, sqlite3_mprintf(
        "%lld images could not be decoded", run->rows->images));
  if (!r->held_out)
    report_warning(out, sqlite3_mprintf(
        "no image was held out: accuracy and map are not known"));
  if (r->map >= 0 && r->map < r->base_map)
    report_warning(out, sqlite3_mprintf(
        "the codes find less than those of the base: map %.4f against %.4f",
        r->map, r->base_map));
  if (!r->keeps)
    report_warning(out, sqlite3_mprintf(
        "too many classes and features to keep what they look like: as a base, "
        "this model will not remember its classes"));
  sqlite3_str_appendchar(s, 1, ']');
  return !list.failed;
}

char *bh_train_report(bh_connection *c, const bh_train_run *run,
                      int with_seconds) {
  sqlite3_str *s = sqlite3_str_new(c->db);
  report_options(s, run);
  report_rows(s, run);
  report_result(s, run);
  int complete = report_warnings(s, run);
  if (with_seconds)
    sqlite3_str_appendf(s, ",\"seconds\":{\"reading\":%.2f,\"training\":%.2f}",
                        run->reading, run->training);
  sqlite3_str_appendchar(s, 1, '}');
  char *text = sqlite3_str_finish(s);
  if (complete) return text;
  sqlite3_free(text);
  return NULL;
}
