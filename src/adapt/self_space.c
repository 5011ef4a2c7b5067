/* SPDX-License-Identifier: Apache-2.0
 * A label space of the job's own making: the names of the classes, and of further classes that have
 * no label, embedded by the features' own encoder. The self-derived metric of Loki (arXiv
 * 2307.12226): distances of unit vectors, d^2 = 2 - 2 cos. */
#include "adapt/pipeline_i.h"

#define PREFIX "embedding:auto"

bool whet_i_self_space_is(const char *spec) {
    const size_t n = sizeof PREFIX - 1;
    return spec && strncmp(spec, PREFIX, n) == 0 && (spec[n] == '\0' || spec[n] == ',');
}

/* Options behind "embedding:auto", in any order; text is cut at the commas. */
static whet_status read_options(whet_ctx *ctx, char *text, char **names, space_measure *measure) {
    char quoted[WHET_QUOTE_SIZE];
    bool more = *text != '\0';
    for (char *key = text, *end; more; key = end) {
        key++;
        end = key + strcspn(key, ",");
        more = *end != '\0';
        *end = '\0';
        if (strncmp(key, "names=", 6) == 0)
            *names = key + 6;
        else if (strncmp(key, "metric=", 7) == 0)
            WHET_TRY(whet_i_measure_read(ctx, key + 7, measure));
        else
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "space: %s; expected " PREFIX
                               "[,names=FILE][,metric=unit|cosine|euclidean|angular]",
                               whet_i_quote(quoted, whet_str_from(key)));
    }
    return WHET_OK;
}

/* Every class must be among the names. */
static whet_status check_classes(whet_ctx *ctx, const char *path, const whet_names *names,
                                 const whet_names *classes) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t c = 0; c < whet_names_count(classes); c++) {
        const whet_str name = whet_names_get(classes, c);
        if (whet_names_find(names, name) < 0)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: class %s is missing; expected every class of the labels", path,
                               whet_i_quote(quoted, name));
    }
    return WHET_OK;
}

static whet_status copy_names(whet_ctx *ctx, const whet_names *from, whet_names *to) {
    for (int64_t i = 0; i < whet_names_count(from); i++)
        WHET_TRY(whet_names_add(ctx, to, whet_names_get(from, i), NULL));
    return WHET_OK;
}

whet_status whet_i_self_space_read(whet_ctx *ctx, const char *spec, const whet_names *classes,
                                   whet_i_self_space *out) {
    whet_i_self_space s = {.measure = MEASURE_UNIT};
    whet_status status = WHET_OK;
    char *options = NULL, *path = NULL;
    WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(spec + sizeof PREFIX - 1), &options));
    WHET_TRY_DONE(read_options(ctx, options, &path, &s.measure));
    if (path) {
        WHET_TRY_DONE(whet_names_read(ctx, path, &s.names));
        WHET_TRY_DONE(check_classes(ctx, path, s.names, classes));
    } else {
        WHET_TRY_DONE(whet_names_create(ctx, &s.names));
        WHET_TRY_DONE(copy_names(ctx, classes, s.names));
    }
    *out = s;
    s = (whet_i_self_space){0};
done:
    whet_i_self_space_free(ctx, &s);
    whet_i_free(ctx, options);
    return status;
}

void whet_i_self_space_free(whet_ctx *ctx, whet_i_self_space *space) {
    whet_names_destroy(ctx, space->names);
    *space = (whet_i_self_space){0};
}

/* The words of each name: as --class-names says for a class, else the name itself as words. */
static whet_status make_texts(whet_ctx *ctx, const whet_i_self_space *s, const whet_names *classes,
                              const whet_str *class_texts, whet_i_arena *arena, whet_str *texts) {
    for (int64_t i = 0; i < whet_names_count(s->names); i++) {
        const whet_str name = whet_names_get(s->names, i);
        const int64_t class = class_texts ? whet_names_find(classes, name) : -1;
        char *words, *kept;
        if (class >= 0) {
            texts[i] = class_texts[class];
            continue;
        }
        WHET_TRY(whet_class_text(ctx, name, &words));
        const int64_t n = (int64_t)strlen(words);
        const whet_status status = whet_i_arena_alloc(ctx, arena, n + 1, 1, &kept);
        if (status == WHET_OK) memcpy(kept, words, (size_t)n + 1);
        whet_i_free(ctx, words);
        WHET_TRY(status);
        texts[i] = (whet_str){kept, n};
    }
    return WHET_OK;
}

whet_status whet_i_self_space_make(whet_ctx *ctx, const whet_i_self_space *s,
                                   const whet_names *classes, const whet_str *class_texts,
                                   const whet_i_embedder *embedder, whet_space **out) {
    const int64_t n = whet_names_count(s->names), d = embedder->d;
    whet_status status = WHET_OK;
    whet_i_arena arena = {0};
    whet_str *texts = NULL;
    float *vectors = NULL;
    int64_t size;
    WHET_TRY(whet_i_mul(ctx, n, d, &size));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &texts));
    WHET_TRY_DONE(whet_i_alloc(ctx, size, &vectors));
    WHET_TRY_DONE(make_texts(ctx, s, classes, class_texts, &arena, texts));
    if (!whet_i_texts_mean(texts, n)) {
        status = whet_i_fail(ctx, WHET_ERR_DATA,
                             PREFIX ": a class name is only a number; expected words to embed; try "
                                    "--class-names");
        goto done;
    }
    WHET_TRY_DONE(whet_i_embed_texts(ctx, embedder, texts, n, vectors));
    whet_tensor t = {vectors, WHET_F32, 2, {n, d}};
    status = whet_i_space_from_embedding(ctx, s->names, &t, false, s->measure, out);
    if (status != WHET_OK) status = whet_i_fail_at(ctx, status, PREFIX);
done:
    whet_i_arena_free(ctx, &arena);
    whet_i_free(ctx, vectors);
    whet_i_free(ctx, texts);
    return status;
}
