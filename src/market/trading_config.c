/* SPDX-License-Identifier: Apache-2.0
 * The configuration of a simulated market, from JSON (docs/formats/trading.md). What is unknown, out of range
 * or contradicts something else is refused by name, before any data is read. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "market/trading_i.h"

enum { BYTES_MAX = 1 << 24, PLACE = 512, BATCH_MAX = 1 << 20, PATTERNS_MAX = 1000 };

static const char *const ARMS[WHET_ARMS] = {"silo", "market", "no-align", "fedavg", "bank"};

const char *whet_arm_name(whet_arm arm) { return ARMS[arm]; }

/* ---- members --------------------------------------------------------------------------------- */

whet_status whet_i_trading_known(whet_ctx *ctx, const char *where, const json_t *object,
                                 const char *const *known) {
    char quoted[WHET_QUOTE_SIZE];
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        int64_t i = 0, near = -1;
        whet_names *names = NULL;
        while (known[i] && strcmp(known[i], key) != 0) i++;
        if (known[i]) continue;
        whet_status status = whet_names_create(ctx, &names);
        for (i = 0; status == WHET_OK && known[i]; i++)
            status = whet_names_add(ctx, names, whet_str_from(known[i]), NULL);
        if (status == WHET_OK) near = whet_i_nearest_name(names, whet_str_from(key));
        whet_names_destroy(ctx, names);
        WHET_TRY(status);
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %s is unknown; expected \"%s\"%s", where,
                           whet_i_quote(quoted, whet_str_from(key)), known[near < 0 ? 0 : near],
                           near < 0 ? " and others (see docs/formats/trading.md)" : "");
    }
    return WHET_OK;
}

whet_status whet_i_trading_real(whet_ctx *ctx, const char *where, const json_t *object,
                                const char *key, double low, double high, double fallback,
                                double *out) {
    double x;
    WHET_TRY(whet_i_json_real_or(ctx, where, object, key, (double)NAN, &x));
    if (isnan(x))
        x = fallback;
    else if (!(x >= low && x <= high))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" is %g; expected %g to %g", where, key,
                           x, low, high);
    *out = x;
    return WHET_OK;
}

whet_status whet_i_trading_choice(whet_ctx *ctx, const char *where, const json_t *object,
                                  const char *key, const char *const *words, int32_t fallback,
                                  int32_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    whet_i_buf known = {0};
    whet_str word;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_json_str_or_none(ctx, where, object, key, &word));
    if (!word.ptr) {
        *out = fallback;
        return WHET_OK;
    }
    for (int32_t i = 0; words[i]; i++)
        if (whet_str_equal(word, whet_str_from(words[i]))) {
            *out = i;
            return WHET_OK;
        }
    for (int32_t i = 0; words[i]; i++)
        WHET_TRY_DONE(whet_i_buf_printf(ctx, &known, "%s%s",
                                        i == 0         ? ""
                                        : words[i + 1] ? ", "
                                                       : " or ",
                                        words[i]));
    status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" is %s; expected %s", where, key,
                         whet_i_quote(quoted, word), known.data);
done:
    whet_i_buf_free(ctx, &known);
    return status;
}

static whet_status keep_text(whet_ctx *ctx, whet_trading_config *config, whet_str text,
                             char **out) {
    WHET_TRY(whet_i_arena_alloc(ctx, &config->arena, text.len + 1, 1, out));
    memcpy(*out, text.ptr, (size_t)text.len);
    (*out)[text.len] = '\0';
    return WHET_OK;
}

whet_status whet_i_trading_text(whet_ctx *ctx, const char *where, const json_t *object,
                                const char *key, whet_trading_config *config, const char **out) {
    whet_str text;
    char *copy = NULL;
    WHET_TRY(whet_i_json_str_or_none(ctx, where, object, key, &text));
    if (text.ptr) WHET_TRY(keep_text(ctx, config, text, &copy));
    *out = copy;
    return WHET_OK;
}

whet_status whet_i_trading_reals(whet_ctx *ctx, const char *where, const json_t *object,
                                 const char *key, double low, double high, int64_t most,
                                 whet_trading_config *config, double **out, int64_t *n) {
    json_t *array;
    double *x = NULL;
    WHET_TRY(whet_i_json_array_or_none(ctx, where, object, key, &array));
    const int64_t count = array ? (int64_t)json_array_size(array) : 0;
    if (array && (count < 1 || count > most))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: \"%s\" has %" PRId64 " numbers; expected 1 to %" PRId64, where, key,
                           count, most);
    if (array) WHET_TRY(whet_i_arena_alloc(ctx, &config->arena, count, sizeof *x, &x));
    for (int64_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(array, (size_t)i);
        if (!json_is_number(value))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: \"%s\"[%" PRId64 "] is %s; expected a number", where, key, i,
                               whet_i_json_kind(value));
        x[i] = json_number_value(value);
        if (!(x[i] >= low && x[i] <= high))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: \"%s\"[%" PRId64 "] is %g; expected %g to %g", where, key, i,
                               x[i], low, high);
    }
    *out = x;
    *n = count;
    return WHET_OK;
}

whet_status whet_i_trading_patterns(whet_ctx *ctx, const char *where, const json_t *array,
                                    const char *key, whet_trading_config *config, const char ***out,
                                    int64_t *count) {
    const int64_t n = (int64_t)json_array_size(array);
    if (n < 1 || n > PATTERNS_MAX)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: \"%s\" has %" PRId64 " patterns; expected 1 to %d", where, key, n,
                           PATTERNS_MAX);
    WHET_TRY(whet_i_arena_alloc(ctx, &config->arena, n, sizeof **out, out));
    for (int64_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(array, (size_t)i);
        char *copy;
        if (!json_is_string(value) || json_string_length(value) == 0)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: \"%s\"[%" PRId64 "] is %s; expected a name of tensors", where,
                               key, i, json_is_string(value) ? "empty" : whet_i_json_kind(value));
        WHET_TRY(keep_text(ctx, config, whet_str_from(json_string_value(value)), &copy));
        (*out)[i] = copy;
    }
    *count = n;
    return WHET_OK;
}

whet_status whet_i_trading_path(whet_ctx *ctx, whet_trading_config *config, const char *folder,
                                whet_str path, char **out) {
    char *joined;
    if (path.len > 0 && path.ptr[0] == '/') return keep_text(ctx, config, path, out);
    WHET_TRY(whet_i_join_path(ctx, folder, path.ptr, &joined));
    const whet_status status = keep_text(ctx, config, whet_str_from(joined), out);
    whet_i_free(ctx, joined);
    return status;
}

/* ---- data and broker ------------------------------------------------------------------------- */

static whet_status data_path(whet_ctx *ctx, const char *where, const json_t *o, const char *key,
                             const char *folder, whet_trading_config *config, char **out) {
    whet_str text;
    WHET_TRY(whet_i_json_str(ctx, where, o, key, &text));
    if (text.len == 0 || (int64_t)strlen(text.ptr) != text.len)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" is no path; expected an array's file",
                           where, key);
    return whet_i_trading_path(ctx, config, folder, text, out);
}

static whet_status channels(whet_ctx *ctx, const char *where, const json_t *o, const char *key,
                            double low, whet_trading_config *config, double *out, int32_t *n) {
    double *x;
    int64_t count;
    WHET_TRY(whet_i_trading_reals(ctx, where, o, key, low, 1e6, 3, config, &x, &count));
    for (int64_t i = 0; i < count; i++) out[i] = x[i];
    *n = (int32_t)count;
    return WHET_OK;
}

/* One draw for all seeds, or one for each. */
static whet_status read_split(whet_ctx *ctx, const char *where, const json_t *o,
                              whet_trading_config *c) {
    const json_t *value = json_object_get(o, "split_seed");
    int64_t seed = 0;
    c->split_each = json_is_string(value) && strcmp(json_string_value(value), "each") == 0;
    if (json_is_string(value) && !c->split_each)
        return whet_i_fail(
            ctx, WHET_ERR_FORMAT,
            "%s: \"split_seed\" is another word; expected a whole number or \"each\"", where);
    if (!c->split_each)
        WHET_TRY(whet_i_json_int_or(ctx, where, o, "split_seed", 0, INT64_MAX, 100, &seed));
    c->split_seed = (uint64_t)seed;
    return WHET_OK;
}

static whet_status read_data(whet_ctx *ctx, const char *where, const json_t *o, const char *folder,
                             whet_trading_config *c) {
    static const char *const known[] = {"train_x", "train_y", "test_x",     "test_y", "mean",
                                        "std",     "augment", "split_seed", NULL};
    static const char *const ways[] = {"none", "crop-flip", NULL};
    int32_t way;
    WHET_TRY(whet_i_trading_known(ctx, where, o, known));
    WHET_TRY(data_path(ctx, where, o, "train_x", folder, c, &c->train_x));
    WHET_TRY(data_path(ctx, where, o, "train_y", folder, c, &c->train_y));
    WHET_TRY(data_path(ctx, where, o, "test_x", folder, c, &c->test_x));
    WHET_TRY(data_path(ctx, where, o, "test_y", folder, c, &c->test_y));
    WHET_TRY(channels(ctx, where, o, "mean", -1e6, c, c->mean, &c->n_mean));
    WHET_TRY(channels(ctx, where, o, "std", 1e-6, c, c->std, &c->n_std));
    WHET_TRY(whet_i_trading_choice(ctx, where, o, "augment", ways, 0, &way));
    WHET_TRY(read_split(ctx, where, o, c));
    c->augment = way == 1;
    return WHET_OK;
}

static whet_status read_broker(whet_ctx *ctx, const char *where, const json_t *o,
                               whet_trading_config *c) {
    static const char *const known[] = {"selection", "gate", NULL};
    if (c->reference) {
        if (o)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s and \"reference\": the reference chooses and judges on the test "
                               "examples; expected one of them",
                               where);
        return WHET_OK;
    }
    c->select = c->gate = 1000;
    if (!o) return WHET_OK;
    WHET_TRY(whet_i_trading_known(ctx, where, o, known));
    WHET_TRY(whet_i_json_int_or(ctx, where, o, "selection", 1, INT32_MAX, 1000, &c->select));
    return whet_i_json_int_or(ctx, where, o, "gate", 2, INT32_MAX, 1000, &c->gate);
}

/* ---- model and learning ---------------------------------------------------------------------- */

static whet_status read_widths(whet_ctx *ctx, const char *where, const json_t *o,
                               whet_trading_config *c) {
    double *widths;
    int64_t n;
    WHET_TRY(
        whet_i_trading_reals(ctx, where, o, "widths", 1, 65536, WHET_I_WIDTHS_MAX, c, &widths, &n));
    for (int64_t i = 0; i < n; i++) {
        if (floor(widths[i]) != widths[i])
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: \"widths\"[%" PRId64 "] is %g; expected a whole number", where,
                               i, widths[i]);
        c->widths[i] = (int64_t)widths[i];
    }
    c->n_widths = (int32_t)n;
    return WHET_OK;
}

static whet_status unused(whet_ctx *ctx, const char *where, const json_t *o, const char *key,
                          const char *arch) {
    if (!json_object_get(o, key)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s: \"%s\" has no use with \"arch\" %s; expected none",
                       where, key, arch);
}

static whet_status read_model(whet_ctx *ctx, const char *where, const json_t *o,
                              whet_trading_config *c) {
    static const char *const known[] = {"arch", "widths", "blocks", "widen", "shared_init", NULL};
    static const char *const archs[] = {"mlp", "lenet", "resnet", "wrn", NULL};
    int32_t arch;
    WHET_TRY(whet_i_trading_known(ctx, where, o, known));
    WHET_TRY(whet_i_trading_choice(ctx, where, o, "arch", archs, 0, &arch));
    c->arch = archs[arch];
    if (arch == 0)
        WHET_TRY(read_widths(ctx, where, o, c));
    else
        WHET_TRY(unused(ctx, where, o, "widths", c->arch));
    if (arch < 2) WHET_TRY(unused(ctx, where, o, "blocks", c->arch));
    if (arch < 3) WHET_TRY(unused(ctx, where, o, "widen", c->arch));
    WHET_TRY(whet_i_json_int_or(ctx, where, o, "blocks", 1, 100, 3, &c->blocks));
    WHET_TRY(whet_i_json_int_or(ctx, where, o, "widen", 1, 32, 6, &c->widen));
    return whet_i_json_bool_or(ctx, where, o, "shared_init", false, &c->shared_init);
}

whet_status whet_i_trading_learning(whet_ctx *ctx, const char *where, const json_t *o,
                                    whet_i_learning *l) {
    static const char *const kinds[] = {"adam", "sgd", NULL};
    int32_t kind;
    WHET_TRY(whet_i_trading_choice(ctx, where, o, "optimizer", kinds,
                                   l->optimizer.kind == WHET_I_SGD, &kind));
    l->optimizer.kind = kind ? WHET_I_SGD : WHET_I_ADAMW;
    WHET_TRY(whet_i_trading_real(ctx, where, o, "rate", 1e-9, 1e3, l->rate, &l->rate));
    WHET_TRY(whet_i_trading_real(ctx, where, o, "momentum", 0, .9999, l->optimizer.momentum,
                                 &l->optimizer.momentum));
    WHET_TRY(whet_i_trading_real(ctx, where, o, "weight_decay", 0, 10, l->optimizer.weight_decay,
                                 &l->optimizer.weight_decay));
    if (kind == 0 && json_object_get(o, "momentum"))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: \"momentum\" has no use with \"optimizer\" adam; expected sgd",
                           where);
    return whet_i_json_int_or(ctx, where, o, "batch", 1, BATCH_MAX, l->batch, &l->batch);
}

static whet_status read_training(whet_ctx *ctx, const char *where, const json_t *o,
                                 whet_trading_config *c) {
    static const char *const known[] = {"epochs",       "optimizer", "rate",        "momentum",
                                        "weight_decay", "batch",     "micro_batch", NULL};
    const whet_i_optimizer_settings settings = WHET_I_OPTIMIZER_SETTINGS_INIT;
    c->learning = (whet_i_learning){settings, .01, 512};
    c->learning.optimizer.kind = WHET_I_SGD;
    c->learning.optimizer.momentum = c->learning.optimizer.weight_decay = 0;
    WHET_TRY(whet_i_trading_known(ctx, where, o, known));
    WHET_TRY(whet_i_json_int(ctx, where, o, "epochs", 1, WHET_I_EPOCHS_MAX, &c->epochs));
    WHET_TRY(whet_i_json_int_or(ctx, where, o, "micro_batch", 1, BATCH_MAX, 0, &c->micro_batch));
    if (c->micro_batch && strcmp(c->arch, "resnet") == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: \"micro_batch\" with \"arch\" resnet: its norms are of whole "
                           "batches; expected none",
                           where);
    return whet_i_trading_learning(ctx, where, o, &c->learning);
}

/* ---- controls and seeds ---------------------------------------------------------------------- */

static whet_status read_controls(whet_ctx *ctx, const char *where, const json_t *o,
                                 whet_trading_config *c) {
    char quoted[WHET_QUOTE_SIZE];
    json_t *array;
    c->arms[WHET_ARM_SILO] = true; /* what all are compared with */
    c->arms[WHET_ARM_MARKET] = c->n_agents > 1;
    WHET_TRY(whet_i_json_array_or_none(ctx, where, o, "controls", &array));
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);
        const char *word = json_is_string(value) ? json_string_value(value) : "";
        int32_t arm = 0;
        while (arm < WHET_ARMS && (arm == WHET_ARM_MARKET || strcmp(word, ARMS[arm]) != 0)) arm++;
        if (arm == WHET_ARMS)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: \"controls\" has %s; expected silo, no-align, fedavg or bank",
                               where,
                               json_is_string(value) ? whet_i_quote(quoted, whet_str_from(word))
                                                     : whet_i_json_kind(value));
        c->arms[arm] = true;
    }
    return WHET_OK;
}

static whet_status read_seeds(whet_ctx *ctx, const char *where, const json_t *o,
                              whet_trading_config *c) {
    double *x, one = 0;
    int64_t n;
    WHET_TRY(whet_i_trading_reals(ctx, where, o, "seeds", 0, 9007199254740991.0, WHET_I_SEEDS_MAX,
                                  c, &x, &n));
    if (n == 0) {
        x = &one;
        n = 1;
    }
    WHET_TRY(whet_i_arena_alloc(ctx, &c->arena, n, sizeof *c->seeds, &c->seeds));
    for (int64_t i = 0; i < n; i++) {
        c->seeds[i] = (uint64_t)x[i];
        bool again = floor(x[i]) != x[i];
        for (int64_t j = 0; j < i; j++) again = again || c->seeds[j] == c->seeds[i];
        if (again)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: \"seeds\"[%" PRId64 "] is %g; expected whole numbers, each "
                               "once",
                               where, i, x[i]);
    }
    c->n_seeds = n;
    c->has_seeds = x != &one;
    return WHET_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static whet_status read_all(whet_ctx *ctx, const char *path, const json_t *o, const char *folder,
                            whet_trading_config *c) {
    static const char *const known[] = {"name",     "reference", "data",   "broker",
                                        "model",    "training",  "agents", "trading",
                                        "controls", "seeds",     NULL};
    char where[PLACE];
    json_t *part;
    WHET_TRY(keep_text(ctx, c, whet_str_from(path), &c->path));
    WHET_TRY(whet_i_trading_known(ctx, path, o, known));
    WHET_TRY(whet_i_trading_text(ctx, path, o, "name", c, &c->name));
    if (!c->name) c->name = "";
    WHET_TRY(whet_i_json_bool_or(ctx, path, o, "reference", false, &c->reference));
    WHET_TRY(whet_i_json_object(ctx, path, o, "data", &part));
    (void)snprintf(where, sizeof where, "%s: \"data\"", path);
    WHET_TRY(read_data(ctx, where, part, folder, c));
    WHET_TRY(whet_i_json_object_or_none(ctx, path, o, "broker", &part));
    (void)snprintf(where, sizeof where, "%s: \"broker\"", path);
    WHET_TRY(read_broker(ctx, where, part, c));
    WHET_TRY(whet_i_json_object(ctx, path, o, "model", &part));
    (void)snprintf(where, sizeof where, "%s: \"model\"", path);
    WHET_TRY(read_model(ctx, where, part, c));
    WHET_TRY(whet_i_json_object(ctx, path, o, "training", &part));
    (void)snprintf(where, sizeof where, "%s: \"training\"", path);
    WHET_TRY(read_training(ctx, where, part, c));
    WHET_TRY(whet_i_json_array(ctx, path, o, "agents", &part));
    WHET_TRY(whet_i_trading_agents(ctx, path, part, folder, c));
    WHET_TRY(whet_i_json_object_or_none(ctx, path, o, "trading", &part));
    (void)snprintf(where, sizeof where, "%s: \"trading\"", path);
    WHET_TRY(whet_i_trading_terms(ctx, where, part, c));
    WHET_TRY(read_controls(ctx, path, o, c));
    WHET_TRY(read_seeds(ctx, path, o, c));
    return whet_i_trading_check(ctx, c);
}

/* The part before the last slash, or ".". */
static whet_status folder_of(whet_ctx *ctx, const char *path, char **out) {
    const char *slash = strrchr(path, '/');
    if (!slash) return whet_i_strdup(ctx, whet_str_from("."), out);
    return whet_i_strdup(ctx, (whet_str){path, slash == path ? 1 : slash - path}, out);
}

whet_status whet_i_trading_parse(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                                 const char *folder, whet_trading_config **out) {
    whet_trading_config *c = NULL;
    json_t *document = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &c));
    WHET_TRY_DONE(whet_i_json_parse(ctx, where, bytes, len, &document));
    if (!json_is_object(document)) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %s; expected an object", where,
                             whet_i_json_kind(document));
        goto done;
    }
    WHET_TRY_DONE(read_all(ctx, where, document, folder, c));
    WHET_TRY_DONE(whet_i_arena_alloc(ctx, &c->arena, len + 1, 1, &c->text));
    memcpy(c->text, bytes, (size_t)len);
    c->text[len] = '\0';
    c->fingerprint = whet_i_hash_bytes(bytes, len);
    *out = c;
    c = NULL;
done:
    if (document) json_decref(document);
    whet_trading_config_destroy(ctx, c);
    return status;
}

whet_status whet_trading_config_read(whet_ctx *ctx, const char *path, const char *data,
                                     whet_trading_config **out) {
    char *bytes = NULL, *folder = NULL;
    int64_t len;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_file_read(ctx, path, BYTES_MAX, &bytes, &len));
    if (data)
        WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(data), &folder));
    else
        WHET_TRY_DONE(folder_of(ctx, path, &folder));
    status = whet_i_trading_parse(ctx, path, bytes, len, folder, out);
done:
    whet_i_free(ctx, folder);
    whet_i_free(ctx, bytes);
    return status;
}

void whet_trading_config_destroy(whet_ctx *ctx, whet_trading_config *config) {
    if (!config) return;
    whet_i_arena_free(ctx, &config->arena);
    whet_i_free(ctx, config);
}
