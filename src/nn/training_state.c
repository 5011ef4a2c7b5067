/* SPDX-License-Identifier: Apache-2.0
 * A training run on disk: one safetensors file with the values of what is trained, the optimiser's
 * moments, and in its metadata where the run stands. Reals are written as their 64 bits, so that they
 * come back the same in every locale. A hash of all of it tells damage, which would train another model
 * without a word; files of version 1 have none. */
#include <inttypes.h>
#include <stdio.h>

#include "nn/optimizer_i.h"
#include "nn/shape_text.h"

static const char *const prefixes[] = {"", "moment1.", "moment2."};

enum { NAME_SIZE = 512, FORMAT_VERSION = 2, FIELDS = 11, FIELD_SIZE = 40 };

static const char *const keys[FIELDS] = {
    "whet_training", "optimizer_steps", "step",    "epoch", "batch",   "best_step",
    "bad",           "loss_steps",      "pending", "best",  "loss_sum"};

static whet_i_real *array_of(const whet_i_optimizer *o, int64_t i, int which) {
    if (!o->params->items[i].trainable) return NULL;
    return which == 0 ? o->params->items[i].values : which == 1 ? o->first[i] : o->second[i];
}

static whet_tensor view_of(const whet_i_param *p, whet_i_real *data) {
    whet_tensor t = {.data = data, .dtype = WHET_F32, .rank = p->rank};
    memcpy(t.shape, p->shape, sizeof p->shape);
    return t;
}

/* ---- the hash --------------------------------------------------------------------------------- */

static uint64_t hash_text(uint64_t before, whet_str text) {
    return whet_i_hash_u64(before ^ whet_i_hash_bytes(text.ptr, text.len));
}

void whet_i_checkpoint_hash(const whet_named_tensor *items, int64_t n, uint64_t before,
                            char hex[WHET_I_CHECKPOINT_HASH]) {
    uint64_t hash = before;
    for (int64_t i = 0; i < n; i++) {
        const int64_t bytes = whet_tensor_count(&items[i].tensor) * (int64_t)sizeof(float);
        hash = hash_text(hash, whet_str_from(items[i].name));
        hash = whet_i_hash_u64(hash ^ whet_i_hash_long(items[i].tensor.data, bytes));
    }
    (void)snprintf(hex, WHET_I_CHECKPOINT_HASH, "%016" PRIx64, hash);
}

whet_status whet_i_checkpoint_check(whet_ctx *ctx, const char *path, const whet_safetensors *file,
                                    const whet_named_tensor *items, int64_t n, uint64_t before) {
    char hex[WHET_I_CHECKPOINT_HASH];
    whet_i_checkpoint_hash(items, n, before, hex);
    if (whet_str_equal(whet_safetensors_metadata(file, "hash"), whet_str_from(hex))) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: the checkpoint is damaged: its contents do not have the hash they were "
                       "written with; expected it whole",
                       path);
}

/* ---- writing ---------------------------------------------------------------------------------- */

static whet_status list_arrays(whet_ctx *ctx, const whet_i_optimizer *o, whet_i_arena *arena,
                               whet_named_tensor *items, int64_t *n) {
    for (int64_t i = 0; i < o->params->n; i++) {
        const whet_i_param *p = &o->params->items[i];
        for (int which = 0; which < 3; which++) {
            whet_i_real *data = array_of(o, i, which);
            char *name;
            if (!data) continue;
            const size_t length = strlen(prefixes[which]) + strlen(p->name) + 1;
            WHET_TRY(whet_i_arena_alloc(ctx, arena, (int64_t)length, 1, &name));
            (void)snprintf(name, length, "%s%s", prefixes[which], p->name);
            items[(*n)++] = (whet_named_tensor){name, view_of(p, data)};
        }
    }
    return WHET_OK;
}

whet_status whet_i_training_save(whet_ctx *ctx, const char *path, const whet_i_optimizer *o,
                                 const whet_i_training_state *s, const char *fingerprint) {
    int64_t fields[FIELDS] = {FORMAT_VERSION, o->steps, s->step,       s->epoch,  s->batch,
                              s->best_step,   s->bad,   s->loss_steps, s->pending};
    const char *metadata[2 * FIELDS + 5];
    char text[FIELDS][FIELD_SIZE], hex[WHET_I_CHECKPOINT_HASH];
    uint64_t hash = hash_text(0, whet_str_from(fingerprint));
    whet_named_tensor *items = NULL;
    whet_i_arena arena = {0};
    int64_t n = 0;
    whet_status status = WHET_OK;
    memcpy(&fields[FIELDS - 2], &s->best, sizeof s->best);
    memcpy(&fields[FIELDS - 1], &s->loss_sum, sizeof s->loss_sum);
    for (int i = 0; i < FIELDS; i++) {
        (void)snprintf(text[i], FIELD_SIZE, "%" PRId64, fields[i]);
        metadata[2 * i] = keys[i];
        metadata[2 * i + 1] = text[i];
        hash = hash_text(hash, whet_str_from(text[i]));
    }
    metadata[2 * FIELDS] = "fingerprint";
    metadata[2 * FIELDS + 1] = fingerprint;
    metadata[2 * FIELDS + 2] = "hash";
    metadata[2 * FIELDS + 3] = hex;
    metadata[2 * FIELDS + 4] = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, 3 * o->params->n, &items));
    WHET_TRY_DONE(list_arrays(ctx, o, &arena, items, &n));
    whet_i_checkpoint_hash(items, n, hash, hex);
    WHET_TRY_DONE(whet_safetensors_write(ctx, path, true, items, n, metadata));
done:
    whet_i_arena_free(ctx, &arena);
    whet_i_free(ctx, items);
    return status;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static whet_status bad_field(whet_ctx *ctx, const char *path, const char *key, whet_str text) {
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" is %s; expected a number", path, key,
                       text.ptr ? whet_i_quote(quoted, text) : "missing");
}

static whet_status read_count(whet_ctx *ctx, const char *path, const whet_safetensors *file,
                              const char *key, int64_t *out) {
    const whet_str text = whet_safetensors_metadata(file, key);
    if (text.ptr && whet_i_parse_int(text, out) && *out >= 0) return WHET_OK;
    return bad_field(ctx, path, key, text);
}

static whet_status read_real(whet_ctx *ctx, const char *path, const whet_safetensors *file,
                             const char *key, double *out) {
    const whet_str text = whet_safetensors_metadata(file, key);
    int64_t bits;
    if (!text.ptr || !whet_i_parse_int(text, &bits)) return bad_field(ctx, path, key, text);
    memcpy(out, &bits, sizeof *out);
    return WHET_OK;
}

static whet_status read_state(whet_ctx *ctx, const char *path, const whet_safetensors *file,
                              const char *fingerprint, int64_t *version, int64_t *steps,
                              whet_i_training_state *s) {
    WHET_TRY(read_count(ctx, path, file, "whet_training", version));
    if (*version < 1 || *version > FORMAT_VERSION)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: version %" PRId64 "; expected 1 to %d",
                           path, *version, FORMAT_VERSION);
    if (!whet_str_equal(whet_safetensors_metadata(file, "fingerprint"), whet_str_from(fingerprint)))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: made with other settings, data or another model; expected the same "
                           "as then; try again without resuming",
                           path);
    WHET_TRY(read_count(ctx, path, file, "optimizer_steps", steps));
    WHET_TRY(read_count(ctx, path, file, "step", &s->step));
    WHET_TRY(read_count(ctx, path, file, "epoch", &s->epoch));
    WHET_TRY(read_count(ctx, path, file, "batch", &s->batch));
    WHET_TRY(read_count(ctx, path, file, "best_step", &s->best_step));
    WHET_TRY(read_count(ctx, path, file, "bad", &s->bad));
    WHET_TRY(read_count(ctx, path, file, "loss_steps", &s->loss_steps));
    WHET_TRY(read_count(ctx, path, file, "pending", &s->pending));
    WHET_TRY(read_real(ctx, path, file, "best", &s->best));
    return read_real(ctx, path, file, "loss_sum", &s->loss_sum);
}

static whet_status find_array(whet_ctx *ctx, const char *path, const whet_safetensors *file,
                              const whet_i_param *p, int which, whet_tensor *t) {
    char name[NAME_SIZE], found[WHET_I_SHAPE_TEXT], expected[WHET_I_SHAPE_TEXT];
    (void)snprintf(name, sizeof name, "%s%s", prefixes[which], p->name);
    if (!whet_safetensors_find(file, name, t))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: tensor \"%s\" is missing; expected it", path,
                           name);
    bool same = t->rank == p->rank && t->dtype == WHET_F32;
    for (int32_t i = 0; same && i < p->rank; i++) same = t->shape[i] == p->shape[i];
    if (same) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: tensor \"%s\" is %s %s; expected f32 %s", path,
                       name, whet_dtype_name(t->dtype), whet_i_shape_text(found, t->rank, t->shape),
                       whet_i_shape_text(expected, p->rank, p->shape));
}

/* Rows that were never live and are zero in the file are left as they are: their memory is not taken. */
static void copy_rows(const whet_i_param *p, const char *from, whet_i_real *to) {
    const size_t bytes = (size_t)p->shape[1] * sizeof *to;
    for (int64_t row = 0; row < p->shape[0]; row++, from += bytes, to += p->shape[1]) {
        bool zero = true;
        for (size_t i = 0; zero && i < bytes; i++) zero = from[i] == 0;
        if (zero && !p->live[row]) continue;
        p->live[row] = 1;
        memcpy(to, from, bytes);
    }
}

/* copy false: only checks. */
static whet_status read_arrays(whet_ctx *ctx, const char *path, const whet_safetensors *file,
                               whet_i_optimizer *o, bool copy) {
    for (int64_t i = 0; i < o->params->n; i++) {
        for (int which = 0; which < 3; which++) {
            whet_i_real *to = array_of(o, i, which);
            whet_tensor t;
            if (!to) continue;
            WHET_TRY(find_array(ctx, path, file, &o->params->items[i], which, &t));
            if (!copy) continue;
            if (which > 0 && o->params->items[i].live)
                copy_rows(&o->params->items[i], t.data, to);
            else
                memcpy(to, t.data, (size_t)o->params->items[i].count * sizeof *to);
        }
    }
    return WHET_OK;
}

/* The arrays of the file under the names and in the order of those that are saved. */
static whet_status check_hash(whet_ctx *ctx, const char *path, const whet_safetensors *file,
                              const whet_i_optimizer *o) {
    whet_named_tensor *items = NULL;
    whet_i_arena arena = {0};
    int64_t n = 0;
    uint64_t hash = hash_text(0, whet_safetensors_metadata(file, "fingerprint"));
    whet_status status = WHET_OK;
    for (int i = 0; i < FIELDS; i++)
        hash = hash_text(hash, whet_safetensors_metadata(file, keys[i]));
    WHET_TRY_DONE(whet_i_alloc(ctx, 3 * o->params->n, &items));
    WHET_TRY_DONE(list_arrays(ctx, o, &arena, items, &n));
    for (int64_t i = 0; i < n; i++)
        (void)whet_safetensors_find(file, items[i].name, &items[i].tensor);
    status = whet_i_checkpoint_check(ctx, path, file, items, n, hash);
done:
    whet_i_arena_free(ctx, &arena);
    whet_i_free(ctx, items);
    return status;
}

whet_status whet_i_training_load(whet_ctx *ctx, const char *path, whet_i_optimizer *o,
                                 whet_i_training_state *state, const char *fingerprint) {
    whet_safetensors *file = NULL;
    whet_i_training_state s = {0};
    int64_t steps = 0, version = 0;
    WHET_TRY(whet_safetensors_open(ctx, path, &file));
    whet_status status = read_state(ctx, path, file, fingerprint, &version, &steps, &s);
    if (status == WHET_OK) status = read_arrays(ctx, path, file, o, false);
    if (status == WHET_OK && version > 1) status = check_hash(ctx, path, file, o);
    if (status == WHET_OK) status = read_arrays(ctx, path, file, o, true);
    whet_safetensors_close(ctx, file);
    if (status != WHET_OK) return status;
    o->steps = steps;
    *state = s;
    return WHET_OK;
}
