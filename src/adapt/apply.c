/* SPDX-License-Identifier: Apache-2.0
 * Predicting new rows with a saved classifier: the same features as when it was made (the encoder
 * is checked by its fingerprint), then its probabilities and, with a label space, Frechet means. */
#include <inttypes.h>

#include "adapt/pipeline_i.h"
#include "label/label_i.h"

typedef struct apply_state {
    whet_classifier *classifier;
    whet_encoder *encoder;
    whet_i_feature_map *map;
    whet_table *table;
    whet_tensor array;
    whet_str *texts;
    float *made;
    const float *features; /* [n, d] */
    double *probs;
    whet_i_self_space self_space;
    whet_i_label_space space;
    whet_i_means means;
    int64_t n;
} apply_state;

static void state_free(whet_ctx *ctx, apply_state *s) {
    whet_i_means_free(ctx, &s->means);
    whet_i_label_space_free(ctx, &s->space);
    whet_i_self_space_free(ctx, &s->self_space);
    whet_i_free(ctx, s->probs);
    whet_i_free(ctx, s->made);
    whet_i_free(ctx, s->texts);
    whet_tensor_destroy(ctx, &s->array);
    whet_table_destroy(ctx, s->table);
    whet_i_feature_map_destroy(ctx, s->map);
    whet_encoder_destroy(ctx, s->encoder);
    whet_classifier_destroy(ctx, s->classifier);
}

/* The map that is saved with the classifier, which knows its fingerprint. */
static whet_status load_map(whet_ctx *ctx, const whet_apply_job *job, const char *expected,
                            apply_state *s) {
    char *path, found[17];
    WHET_TRY(whet_i_join_path(ctx, job->classifier, WHET_I_MAP_FILE, &path));
    whet_status status = whet_i_feature_map_load(ctx, path, &s->map);
    if (status == WHET_OK && strcmp(whet_i_feature_map_fingerprint(s->map, found), expected) != 0)
        status = whet_i_fail(ctx, WHET_ERR_DATA, "%s: map %s; expected %s, with which %s was made",
                             path, found, expected, job->classifier);
    whet_i_free(ctx, path);
    return status;
}

static whet_status read_features(whet_ctx *ctx, const whet_apply_job *job, apply_state *s) {
    const int64_t d = whet_classifier_dim(s->classifier);
    const char *map = whet_classifier_source(s->classifier)->feature_map;
    if (map) {
        WHET_TRY(load_map(ctx, job, map, s));
        WHET_TRY(whet_i_feature_map_read(ctx, s->map, job->features, &s->array));
    } else {
        WHET_TRY(whet_array_read_as(ctx, job->features, WHET_F32, 2, true, &s->array));
    }
    if (s->array.shape[1] != d)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " columns; expected %" PRId64
                           ", as the classifier was made with",
                           job->features, s->array.shape[1], d);
    s->features = s->array.data;
    s->n = s->array.shape[0];
    return WHET_OK;
}

static whet_status read_texts(whet_ctx *ctx, const whet_apply_job *job, const char *made_from,
                              apply_state *s) {
    int64_t column = -1;
    WHET_TRY(whet_table_read(ctx, job->input, &s->table));
    s->n = whet_table_rows(s->table);
    if (!job->text && made_from)
        column = whet_names_find(whet_table_columns(s->table), whet_str_from(made_from));
    if (column < 0)
        WHET_TRY(whet_table_find(ctx, s->table, job->text ? job->text : "text", &column));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->texts));
    for (int64_t i = 0; i < s->n; i++) s->texts[i] = whet_table_cell(s->table, i, column);
    return WHET_OK;
}

static whet_status load_encoder_of(whet_ctx *ctx, const whet_apply_job *job,
                                   const whet_classifier_meta *meta, const char *path,
                                   apply_state *s) {
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    opts.max_length = meta->max_length;
    if (meta->dtype && strcmp(meta->dtype, whet_dtype_name(WHET_BF16)) == 0) opts.dtype = WHET_BF16;
    WHET_TRY(whet_encoder_load(ctx, path, &opts, &s->encoder));
    const char *found = whet_encoder_fingerprint(s->encoder);
    if (strcmp(found, meta->encoder_fingerprint) == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: encoder %s; expected %s, with which %s was made; try the same model "
                       "folder",
                       path, found, meta->encoder_fingerprint, job->classifier);
}

/* A relative path is one within the classifier's folder: a tuned encoder is saved with it. */
static whet_status load_encoder(whet_ctx *ctx, const whet_apply_job *job,
                                const whet_classifier_meta *meta, apply_state *s) {
    char *own = NULL;
    const char *path = job->model ? job->model : meta->encoder_path;
    if (!job->model && *path != '/') {
        WHET_TRY(whet_i_join_path(ctx, job->classifier, path, &own));
        path = own;
    }
    const whet_status status = load_encoder_of(ctx, job, meta, path, s);
    whet_i_free(ctx, own);
    return status;
}

static whet_status embed(whet_ctx *ctx, const whet_apply_job *job, apply_state *s) {
    const whet_classifier_meta *meta = whet_classifier_source(s->classifier);
    const int64_t d = whet_classifier_dim(s->classifier);
    int64_t size;
    if (job->features) return read_features(ctx, job, s);
    if (!meta->encoder_path && !meta->tfidf)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s was made from given features; expected features, not texts",
                           job->classifier);
    WHET_TRY(read_texts(ctx, job, meta->text_column, s));
    WHET_TRY(whet_i_mul(ctx, s->n, d, &size));
    WHET_TRY(whet_i_alloc(ctx, size, &s->made));
    s->features = s->made;
    if (meta->encoder_path) WHET_TRY(load_encoder(ctx, job, meta, s));
    const whet_i_embedder embedder = {s->encoder, meta->tfidf, d, meta->words};
    const int64_t made = (s->encoder ? whet_encoder_dim(s->encoder) : 0) +
                         (meta->tfidf ? whet_tfidf_dim(meta->tfidf) : 0);
    if (made != d)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: texts have %" PRId64 " features; expected %" PRId64,
                           job->classifier, made, d);
    return whet_i_embed_texts(ctx, &embedder, s->texts, s->n, s->made);
}

/* Before the rows are embedded, so that complaints come first. */
static whet_status open_space(whet_ctx *ctx, const whet_apply_job *job, apply_state *s) {
    const whet_names *classes = whet_classifier_classes(s->classifier);
    if (!job->space) return WHET_OK;
    if (!whet_i_self_space_is(job->space))
        return whet_i_label_space_open(ctx, job->space, job->space_candidates, classes, &s->space);
    if (job->features)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "space: embedding:auto embeds names as the texts are; expected texts, "
                           "not features");
    return whet_i_self_space_read(ctx, job->space, classes, &s->self_space);
}

static whet_status make_space(whet_ctx *ctx, const whet_apply_job *job, apply_state *s) {
    const whet_names *classes = whet_classifier_classes(s->classifier);
    const whet_classifier_meta *meta = whet_classifier_source(s->classifier);
    const int64_t d =
        s->encoder ? whet_encoder_dim(s->encoder) : whet_classifier_dim(s->classifier);
    /* Of names the meaning alone counts. */
    const whet_i_embedder embedder = {
        .encoder = s->encoder, .tfidf = s->encoder ? NULL : meta->tfidf, .d = d};
    whet_space *space;
    if (!s->self_space.names) return WHET_OK;
    WHET_TRY(
        whet_i_self_space_make(ctx, &s->self_space, classes, meta->class_texts, &embedder, &space));
    return whet_i_label_space_place(ctx, job->space, space, job->space_candidates, classes,
                                    &s->space);
}

static whet_status apply(whet_ctx *ctx, const whet_apply_job *job, apply_state *s) {
    int64_t size;
    WHET_TRY(whet_classifier_load(ctx, job->classifier, &s->classifier));
    const whet_names *classes = whet_classifier_classes(s->classifier);
    const int64_t k = whet_names_count(classes);
    WHET_TRY(open_space(ctx, job, s));
    WHET_TRY(embed(ctx, job, s));
    WHET_TRY(make_space(ctx, job, s));
    WHET_TRY(whet_i_mul(ctx, s->n, k, &size));
    WHET_TRY(whet_i_alloc(ctx, size, &s->probs));
    WHET_TRY(whet_classifier_predict(ctx, s->classifier, s->features, s->n, s->probs));
    if (job->space) WHET_TRY(whet_i_means_make(ctx, &s->space, s->probs, s->n, k, &s->means));
    const whet_i_prediction_table table = {.classes = classes,
                                           .probs = s->probs,
                                           .n = s->n,
                                           .space = s->space.space,
                                           .means = &s->means};
    return whet_i_write_prediction_table(ctx, &table, job->output, job->force);
}

whet_status whet_adapt_apply(whet_ctx *ctx, const whet_apply_job *job, int64_t *rows) {
    whet_apply_job known = WHET_APPLY_JOB_INIT;
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_apply_job"));
    if (!known.classifier || !known.output || (!known.input && !known.features))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a classifier, an input and an output are needed; expected all three");
    apply_state state = {0};
    const whet_status status = apply(ctx, &known, &state);
    if (status == WHET_OK && rows) *rows = state.n;
    state_free(ctx, &state);
    return status;
}
