/* SPDX-License-Identifier: Apache-2.0
 * Predicting new rows with a saved classifier: the same features as when it was made (the encoder
 * is checked by its fingerprint), then its probabilities and, with a label space, Frechet means. */
#include <inttypes.h>

#include "adapt/pipeline_i.h"
#include "label/label_i.h"

/* The rows as one classifier is to see them. */
typedef struct view {
    const whet_classifier *classifier;
    const char *folder; /* of the classifier */
    const char *model;  /* the encoder's folder; NULL: as the classifier says */
    whet_encoder *encoder;
    whet_i_feature_map *map;
    whet_tensor array;
    float *made;
    const float *features; /* [n, d] */
} view;

typedef struct apply_state {
    whet_classifier *classifier;
    whet_table *table;
    whet_str *texts;
    view own;
    double *probs;
    whet_i_self_space self_space;
    whet_i_label_space space;
    whet_i_means means;
    int64_t n;
} apply_state;

static void view_free(whet_ctx *ctx, view *v) {
    whet_i_free(ctx, v->made);
    whet_tensor_destroy(ctx, &v->array);
    whet_i_feature_map_destroy(ctx, v->map);
    whet_encoder_destroy(ctx, v->encoder);
}

static void state_free(whet_ctx *ctx, apply_state *s) {
    whet_i_means_free(ctx, &s->means);
    whet_i_label_space_free(ctx, &s->space);
    whet_i_self_space_free(ctx, &s->self_space);
    whet_i_free(ctx, s->probs);
    view_free(ctx, &s->own);
    whet_i_free(ctx, s->texts);
    whet_table_destroy(ctx, s->table);
    whet_classifier_destroy(ctx, s->classifier);
}

/* The map that is saved with the classifier, which knows its fingerprint. */
static whet_status load_map(whet_ctx *ctx, const char *expected, view *v) {
    char *path, found[17];
    WHET_TRY(whet_i_join_path(ctx, v->folder, WHET_I_MAP_FILE, &path));
    whet_status status = whet_i_feature_map_load(ctx, path, &v->map);
    if (status == WHET_OK && strcmp(whet_i_feature_map_fingerprint(v->map, found), expected) != 0)
        status = whet_i_fail(ctx, WHET_ERR_DATA, "%s: map %s; expected %s, with which %s was made",
                             path, found, expected, v->folder);
    whet_i_free(ctx, path);
    return status;
}

static whet_status read_features(whet_ctx *ctx, const whet_apply_job *job, apply_state *s) {
    view *v = &s->own;
    const int64_t d = whet_classifier_dim(v->classifier);
    const whet_classifier_meta *meta = whet_classifier_source(v->classifier);
    const char *map = meta->feature_map;
    if (whet_classifier_beside(s->classifier))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s averages two classifiers that see different features; expected "
                           "texts, not features",
                           job->classifier);
    /* Any matrix of as many columns would be predicted, and nothing could tell where it came from. */
    if (meta->tfidf)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s was made from texts; expected texts, not features", job->classifier);
    if (meta->encoder_path)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: rows are taken as whet embed gives them with the encoder of %s",
                   job->features, job->classifier);
    if (map) {
        WHET_TRY(load_map(ctx, map, v));
        WHET_TRY(whet_i_feature_map_read(ctx, v->map, job->features, &v->array));
    } else {
        WHET_TRY(whet_i_features_read(ctx, job->features, &v->array));
    }
    if (v->array.shape[1] != d)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " columns; expected %" PRId64
                           ", as the classifier was made with",
                           job->features, v->array.shape[1], d);
    v->features = v->array.data;
    s->n = v->array.shape[0];
    return WHET_OK;
}

static whet_status read_texts(whet_ctx *ctx, const whet_apply_job *job, apply_state *s) {
    const whet_classifier_meta *meta = whet_classifier_source(s->classifier);
    int64_t column = -1;
    if (!meta->encoder_path && !meta->tfidf)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s was made from given features; expected features, not texts",
                           job->classifier);
    WHET_TRY(whet_table_read(ctx, job->input, &s->table));
    s->n = whet_table_rows(s->table);
    if (!job->text && meta->text_column)
        column = whet_names_find(whet_table_columns(s->table), whet_str_from(meta->text_column));
    if (column < 0)
        WHET_TRY(whet_table_find(ctx, s->table, job->text ? job->text : "text", &column));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->texts));
    for (int64_t i = 0; i < s->n; i++) s->texts[i] = whet_table_cell(s->table, i, column);
    return WHET_OK;
}

static whet_status load_encoder_of(whet_ctx *ctx, const char *path, view *v) {
    const whet_classifier_meta *meta = whet_classifier_source(v->classifier);
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    opts.max_length = meta->max_length;
    opts.coarse = true;
    if (meta->dtype && strcmp(meta->dtype, whet_dtype_name(WHET_BF16)) == 0) opts.dtype = WHET_BF16;
    WHET_TRY(whet_encoder_load(ctx, path, &opts, &v->encoder));
    const char *found = whet_encoder_fingerprint(v->encoder);
    if (strcmp(found, meta->encoder_fingerprint) == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: encoder %s; expected %s, with which %s was made; try the same model "
                       "folder",
                       path, found, meta->encoder_fingerprint, v->folder);
}

/* A relative path is one within the classifier's folder: a tuned encoder is saved with it. */
static whet_status load_encoder(whet_ctx *ctx, view *v) {
    char *own = NULL;
    const char *path = v->model ? v->model : whet_classifier_source(v->classifier)->encoder_path;
    if (!v->model && *path != '/') {
        WHET_TRY(whet_i_join_path(ctx, v->folder, path, &own));
        path = own;
    }
    const whet_status status = load_encoder_of(ctx, path, v);
    whet_i_free(ctx, own);
    return status;
}

static whet_status embed(whet_ctx *ctx, const apply_state *s, view *v, int64_t *truncated) {
    const whet_classifier_meta *meta = whet_classifier_source(v->classifier);
    const int64_t d = whet_classifier_dim(v->classifier);
    int64_t size;
    WHET_TRY(whet_i_mul(ctx, s->n, d, &size));
    WHET_TRY(whet_i_alloc(ctx, size, &v->made));
    v->features = v->made;
    if (meta->encoder_path) WHET_TRY(load_encoder(ctx, v));
    const whet_i_embedder embedder = {v->encoder, meta->tfidf, d, meta->words, truncated};
    const int64_t made = (v->encoder ? whet_encoder_dim(v->encoder) : 0) +
                         (meta->tfidf ? whet_tfidf_dim(meta->tfidf) : 0);
    if (made != d)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: texts have %" PRId64 " features; expected %" PRId64, v->folder,
                           made, d);
    return whet_i_embed_texts(ctx, &embedder, s->texts, s->n, v->made);
}

/* The second classifier's probabilities into the mean. --model is its encoder's folder, which may have moved:
 * the tuned one lies with the classifier. */
static whet_status average(whet_ctx *ctx, const whet_apply_job *job, apply_state *s, int64_t size) {
    const whet_classifier *second = whet_classifier_beside(s->classifier);
    const double share = whet_classifier_source(s->classifier)->beside;
    view v = {.classifier = second, .model = job->model};
    char *folder = NULL;
    double *probs = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, job->classifier, WHET_I_FROZEN_FOLDER, &folder));
    v.folder = folder;
    WHET_TRY_DONE(embed(ctx, s, &v, NULL));
    WHET_TRY_DONE(whet_i_alloc(ctx, size, &probs));
    WHET_TRY_DONE(whet_classifier_predict(ctx, second, v.features, s->n, probs));
    for (int64_t i = 0; i < size; i++) s->probs[i] = (1 - share) * s->probs[i] + share * probs[i];
done:
    whet_i_free(ctx, probs);
    view_free(ctx, &v);
    whet_i_free(ctx, folder);
    return status;
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
    whet_encoder *encoder = s->own.encoder;
    const int64_t d = encoder ? whet_encoder_dim(encoder) : whet_classifier_dim(s->classifier);
    /* Of names the meaning alone counts. */
    const whet_i_embedder embedder = {
        .encoder = encoder, .tfidf = encoder ? NULL : meta->tfidf, .d = d};
    whet_space *space;
    if (!s->self_space.names) return WHET_OK;
    WHET_TRY(
        whet_i_self_space_make(ctx, &s->self_space, classes, meta->class_texts, &embedder, &space));
    return whet_i_label_space_place(ctx, job->space, space, job->space_candidates, classes,
                                    &s->space);
}

static whet_status apply(whet_ctx *ctx, const whet_apply_job *job, apply_state *s) {
    int64_t size, truncated = 0;
    WHET_TRY(whet_classifier_load(ctx, job->classifier, &s->classifier));
    const whet_names *classes = whet_classifier_classes(s->classifier);
    const int64_t k = whet_names_count(classes);
    WHET_TRY(open_space(ctx, job, s));
    s->own = (view){.classifier = s->classifier,
                    .folder = job->classifier,
                    .model = whet_classifier_beside(s->classifier) ? NULL : job->model};
    if (job->features) {
        WHET_TRY(read_features(ctx, job, s));
    } else {
        WHET_TRY(read_texts(ctx, job, s));
        WHET_TRY(embed(ctx, s, &s->own, &truncated));
        whet_i_warn_of_truncated(ctx, job->input, s->own.encoder, truncated, s->n);
    }
    WHET_TRY(make_space(ctx, job, s));
    WHET_TRY(whet_i_mul(ctx, s->n, k, &size));
    WHET_TRY(whet_i_alloc(ctx, size, &s->probs));
    WHET_TRY(whet_classifier_predict(ctx, s->classifier, s->own.features, s->n, s->probs));
    if (whet_classifier_beside(s->classifier)) WHET_TRY(average(ctx, job, s, size));
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
