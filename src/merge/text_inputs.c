/* SPDX-License-Identifier: Apache-2.0
 * Texts with labels from a table, as tokens and classes of a model's folder. */
#include <inttypes.h>
#include <stdio.h>

#include "io/io_i.h"
#include "merge/text_path.h"

enum { CONFIG_MAX = 1 << 24, NAME_SIZE = 192 };

typedef struct reader {
    whet_ctx *ctx;
    const whet_align_job *job;
    const char *dir; /* of A */
    whet_table *table;
    whet_names *classes;
    whet_i_given_labels given;
    whet_tokenizer *tokenizer;
    whet_str *texts, *seconds; /* of the given rows; seconds NULL = none */
} reader;

/* ---- classes ---------------------------------------------------------------------------------------- */

/* id2label of a folder's config.json; *out NULL = it names no class, or by LABEL_0 ... alone. */
static whet_status read_names(whet_ctx *ctx, const char *dir, int64_t classes, whet_names **out) {
    char *path;
    json_t *config;
    whet_names *names = NULL;
    *out = NULL;
    WHET_TRY(whet_i_join_path(ctx, dir, "config.json", &path));
    whet_status status = whet_i_json_read(ctx, path, CONFIG_MAX, &config);
    whet_i_free(ctx, path);
    WHET_TRY(status);
    const json_t *map = json_object_get(config, "id2label");
    bool named = map && (int64_t)json_object_size(map) == classes;
    if (named) WHET_TRY_DONE(whet_names_create(ctx, &names));
    for (int64_t c = 0; named && c < classes; c++) {
        char number[24];
        (void)snprintf(number, sizeof number, "%" PRId64, c);
        const char *name = json_string_value(json_object_get(map, number));
        named = name && strncmp(name, "LABEL_", 6) != 0;
        if (named) WHET_TRY_DONE(whet_names_add(ctx, names, whet_str_from(name), NULL));
    }
    if (named && whet_names_count(names) == classes) {
        *out = names;
        names = NULL;
    }
done:
    whet_names_destroy(ctx, names);
    json_decref(config);
    return status;
}

/* Two models that mean different classes by one number have no mixture that makes sense. */
static whet_status compare_names(const reader *r, const char *dir, int64_t classes) {
    char ours[WHET_QUOTE_SIZE], theirs[WHET_QUOTE_SIZE];
    whet_names *names;
    whet_status status = WHET_OK;
    if (!dir || !r->classes) return WHET_OK;
    WHET_TRY(read_names(r->ctx, dir, classes, &names));
    for (int64_t c = 0; names && c < classes && status == WHET_OK; c++) {
        const whet_str x = whet_names_get(r->classes, c), y = whet_names_get(names, c);
        if (x.len == y.len && memcmp(x.ptr, y.ptr, (size_t)x.len) == 0) continue;
        status = whet_i_fail(r->ctx, WHET_ERR_DATA,
                             "%s/config.json: class %" PRId64 " is %s, in %s it is %s; expected "
                             "models of the same classes in the same order",
                             dir, c, whet_i_quote(theirs, y), r->dir, whet_i_quote(ours, x));
    }
    whet_names_destroy(r->ctx, names);
    return status;
}

static int64_t class_of(const reader *r, whet_str name, int64_t classes) {
    if (r->classes) return whet_names_find(r->classes, name);
    if (name.len > 6 && strncmp(name.ptr, "LABEL_", 6) == 0) {
        name.ptr += 6;
        name.len -= 6;
    }
    return whet_i_plain_number(name, classes);
}

static whet_status take_labels(const reader *r, whet_i_text_inputs *in) {
    char quoted[WHET_QUOTE_SIZE], near_quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_alloc(r->ctx, in->n, &in->labels));
    for (int64_t i = 0; i < in->n; i++) {
        const whet_i_given_label *label = &r->given.items[i];
        const int64_t class = class_of(r, label->name, in->classes);
        in->labels[i] = (int32_t) class;
        if (class >= 0) continue;
        if (!r->classes)
            return whet_i_fail(r->ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": label %s; expected a class from 0 to %" PRId64
                               ": %s/config.json names none",
                               r->job->data, label->line, whet_i_quote(quoted, label->name),
                               in->classes - 1, r->dir);
        const int64_t near = whet_i_nearest_name(r->classes, label->name);
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s:%" PRId64 ": label %s is unknown; expected one of the %" PRId64
                           " classes of %s/config.json%s%s",
                           r->job->data, label->line, whet_i_quote(quoted, label->name),
                           in->classes, r->dir, near < 0 ? "" : "; nearest is ",
                           near < 0 ? ""
                                    : whet_i_quote(near_quoted, whet_names_get(r->classes, near)));
    }
    return WHET_OK;
}

/* Sentences on a model's folder name its files alone. */
static whet_status of_model(const reader *r, whet_status status) {
    char quoted[WHET_QUOTE_SIZE];
    if (status == WHET_OK) return WHET_OK;
    return whet_i_fail_at(r->ctx, status, "model %s", whet_i_quote(quoted, whet_str_from(r->dir)));
}

/* ---- texts ------------------------------------------------------------------------------------------ */

static whet_status take_texts(reader *r, whet_i_text_inputs *in) {
    const whet_align_job *job = r->job;
    int64_t text, second = -1, truncated;
    WHET_TRY(whet_table_find(r->ctx, r->table, job->text, &text));
    if (job->second) WHET_TRY(whet_table_find(r->ctx, r->table, job->second, &second));
    WHET_TRY(whet_i_alloc(r->ctx, in->n, &r->texts));
    if (second >= 0) WHET_TRY(whet_i_alloc(r->ctx, in->n, &r->seconds));
    for (int64_t i = 0; i < in->n; i++) {
        r->texts[i] = whet_table_cell(r->table, r->given.items[i].row, text);
        if (second >= 0) r->seconds[i] = whet_table_cell(r->table, r->given.items[i].row, second);
    }
    whet_i_warn_of_texts(r->ctx, job->data, r->texts, in->n);
    if (r->seconds) whet_i_warn_of_texts(r->ctx, job->data, r->seconds, in->n);
    WHET_TRY(of_model(r, whet_i_model_tokenizer(r->ctx, r->dir, in->config.vocab, &r->tokenizer)));
    WHET_TRY(whet_tokenizer_encode_pairs(r->ctx, r->tokenizer, r->texts, r->seconds, in->n,
                                         in->config.max_length, &in->tokens, &truncated));
    if (truncated)
        whet_i_log(r->ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " of %" PRId64 " texts are longer than %" PRId64
                   " tokens; their ends are not read",
                   job->data, truncated, in->n, in->config.max_length);
    return WHET_OK;
}

/* ---- all of it -------------------------------------------------------------------------------------- */

/* Rows of the last layer. */
static whet_status count_classes(const reader *r, const whet_weights *a, whet_i_text_inputs *in) {
    const whet_i_family *f = in->config.family;
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s.weight", f->head_out);
    const whet_tensor *head = whet_i_text_tensor(a, f->prefix, name);
    if (!head || head->rank != 2 || head->shape[0] < 2)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s: no tensor %s of two classes or more; expected a %s", r->job->a,
                           name, f->classifier);
    in->classes = head->shape[0];
    return WHET_OK;
}

static whet_status read_all(reader *r, const char *other, const whet_weights *a,
                            whet_i_text_inputs *in) {
    const whet_align_job *job = r->job;
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    int64_t label;
    opts.max_length = job->max_length;
    WHET_TRY(of_model(r, whet_i_encoder_config_read(r->ctx, r->dir, &opts, &in->config)));
    WHET_TRY(count_classes(r, a, in));
    WHET_TRY(read_names(r->ctx, r->dir, in->classes, &r->classes));
    WHET_TRY(compare_names(r, other, in->classes));
    WHET_TRY(whet_table_read(r->ctx, job->data, &r->table));
    WHET_TRY(whet_table_find(r->ctx, r->table, job->label, &label));
    r->given.path = job->data;
    WHET_TRY(whet_i_labels_of_column(r->ctx, r->table, label, &r->given));
    in->n = r->given.n;
    if (in->n < 1)
        return whet_i_fail(r->ctx, WHET_ERR_DATA, "%s: no row has a label; expected one at least",
                           job->data);
    WHET_TRY(take_labels(r, in));
    return take_texts(r, in);
}

whet_status whet_i_text_inputs_read(whet_ctx *ctx, const whet_align_job *job,
                                    const char *const dirs[2], const whet_weights *a,
                                    whet_i_text_inputs *out) {
    reader r = {.ctx = ctx, .job = job, .dir = dirs[0]};
    *out = (whet_i_text_inputs){0};
    const whet_status status = read_all(&r, dirs[1], a, out);
    whet_i_free(ctx, r.seconds);
    whet_i_free(ctx, r.texts);
    whet_tokenizer_destroy(ctx, r.tokenizer);
    whet_i_free(ctx, r.given.items);
    whet_names_destroy(ctx, r.classes);
    whet_table_destroy(ctx, r.table);
    return status;
}

void whet_i_text_inputs_free(whet_ctx *ctx, whet_i_text_inputs *in) {
    whet_token_rows_destroy(ctx, &in->tokens);
    whet_i_free(ctx, in->labels);
    *in = (whet_i_text_inputs){0};
}
