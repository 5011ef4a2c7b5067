/* SPDX-License-Identifier: Apache-2.0
 * Encoding many texts, or pairs of texts, at once.
 *
 * Texts are taken in batches of about BATCH_BYTES, so that scratch stays small; a batch is cut into
 * items of consecutive rows of about ITEM_BYTES (independent of the thread count), each row into
 * its own slot of a shared id buffer that cannot overflow (whet_i_tokenizer_most_ids). Slots are then
 * packed in order, with their segments.
 *
 * A single text is left as soon as it has one id more than fit, which tells that it was cut. Pairs
 * are encoded whole: how Hugging Face cuts them depends on which is the longer. */
#include "nn/tokenizer_i.h"

#define BATCH_BYTES ((int64_t)4 << 20)
#define BATCH_TEXTS 65536
#define BATCH_IDS ((int64_t)16 << 20)
#define ITEM_BYTES 16384

typedef struct row_count {
    int64_t n[2]; /* ids of the first text, of the second */
    bool cut, failed;
} row_count;

typedef struct batch {
    const whet_tokenizer *tok;
    const whet_i_template *shape;
    const whet_str *first, *second; /* of this batch; second NULL = single texts */
    int64_t n, n_items, room;
    int64_t *slot;    /* [n + 1] where the row's ids may lie */
    int64_t *item;    /* [n_items + 1] first row of each item */
    row_count *count; /* [n] */
    int32_t *ids;     /* slots */
    int64_t ids_cap;
    whet_i_work *work; /* [workers] */
} batch;

/* ---- one row ---------------------------------------------------------------------------------- */

/* What is kept of two texts of n[0] and n[1] ids when `room` fit: "longest_first" as Hugging Face's
 * truncate_encodings does it. The shorter keeps all that leaves the longer as much, else both get
 * half, the longer (the second of equals) the odd one. */
static void cut_longest_first(int64_t n[2], int64_t room) {
    if (n[0] <= room - n[1]) return;
    const int less = n[0] > n[1] ? 1 : 0;
    if (n[less] <= room - n[less]) {
        n[1 - less] = room - n[less];
    } else {
        n[less] = room / 2;
        n[1 - less] = room - room / 2;
    }
}

static int32_t *put_specials(const whet_i_template *t, int run, int32_t *ids) {
    const int32_t from = run ? t->end[run - 1] : 0;
    for (int32_t i = from; i < t->end[run]; i++) *ids++ = t->ids[i];
    return ids;
}

static void encode_row(const batch *b, int64_t k, whet_i_work *work) {
    const whet_i_template *t = b->shape;
    const bool pair = b->second != NULL;
    const int order[2] = {t->second_text_first ? 1 : 0, t->second_text_first ? 0 : 1};
    int32_t *part[2], *ids = b->ids + b->slot[k];
    const int32_t *end = b->ids + b->slot[k + 1];
    row_count *count = &b->count[k];
    *count = (row_count){0};
    ids = put_specials(t, 0, ids);
    for (int i = 0; i < t->n_sequences; i++) {
        const int64_t cap = pair || b->room == INT64_MAX ? end - ids : b->room + 1;
        whet_i_ids content = {part[i] = ids, 0, cap < end - ids ? cap : end - ids};
        whet_i_tokenizer_text(b->tok, order[i] ? b->second[k] : b->first[k], work, &content);
        count->failed |= work->regex.exhausted;
        count->n[order[i]] = content.n;
        ids += content.n;
    }
    count->cut = count->n[0] + count->n[1] > b->room;
    if (pair)
        cut_longest_first(count->n, b->room);
    else if (count->cut)
        count->n[0] = b->room;
    /* What follows moves to its place only now: lengths were not known before. */
    ids = put_specials(t, 0, b->ids + b->slot[k]);
    for (int i = 0; i < t->n_sequences; i++) {
        const int64_t n = count->n[order[i]];
        /* Between the texts there is room for the tokens only once the second has moved up. */
        if (i == 1) {
            const int64_t between = t->end[1] - t->end[0];
            memmove(ids + between, part[1], (size_t)n * sizeof *ids);
            ids = put_specials(t, 1, ids);
        }
        ids += n;
    }
    (void)put_specials(t, t->n_sequences, ids);
}

static void encode_item(void *arg, int64_t i, int32_t worker) {
    const batch *b = arg;
    for (int64_t k = b->item[i]; k < b->item[i + 1]; k++) encode_row(b, k, &b->work[worker]);
}

/* ---- a batch ---------------------------------------------------------------------------------- */

/* Bytes of row k, and the ids it may need. */
static whet_status measure(whet_ctx *ctx, const batch *b, int64_t k, int64_t *bytes,
                           int64_t *most) {
    int64_t more;
    *bytes = b->first[k].len;
    WHET_TRY(whet_i_tokenizer_most_ids(ctx, b->tok, *bytes, most));
    if (!b->second && b->room < *most) *most = b->room + 1;
    if (b->second) {
        WHET_TRY(whet_i_tokenizer_most_ids(ctx, b->tok, b->second[k].len, &more));
        WHET_TRY(whet_i_add(ctx, *most, more, most));
        WHET_TRY(whet_i_add(ctx, *bytes, b->second[k].len, bytes));
    }
    return whet_i_add(ctx, *most, whet_i_template_specials(b->shape), most);
}

/* How many of the rows make the next batch; lays out its slots and items. */
static whet_status plan(whet_ctx *ctx, batch *b, int64_t n_left) {
    int64_t bytes = 0, in_item = 0;
    b->n = b->n_items = 0;
    b->slot[0] = b->item[0] = 0;
    while (b->n < n_left && b->n < BATCH_TEXTS) {
        int64_t len, most;
        WHET_TRY(measure(ctx, b, b->n, &len, &most));
        if (b->n > 0 && bytes + len > BATCH_BYTES) break;
        WHET_TRY(whet_i_add(ctx, b->slot[b->n], most, &b->slot[b->n + 1]));
        if (b->n > 0 && b->slot[b->n + 1] > BATCH_IDS) break;
        bytes += len;
        in_item += len + 16;
        b->n++;
        if (in_item >= ITEM_BYTES) {
            b->item[++b->n_items] = b->n;
            in_item = 0;
        }
    }
    if (in_item) b->item[++b->n_items] = b->n;
    if (!b->ids || b->slot[b->n] > b->ids_cap) {
        int32_t *larger;
        WHET_TRY(whet_i_alloc(ctx, b->slot[b->n], &larger));
        whet_i_free(ctx, b->ids);
        b->ids = larger;
        b->ids_cap = b->slot[b->n];
    }
    return WHET_OK;
}

/* Segments of one row. */
static void put_types(const whet_i_template *t, const row_count *count, uint8_t *types) {
    int32_t special = 0;
    for (int i = 0; i <= t->n_sequences; i++) {
        for (; special < t->end[i]; special++) *types++ = t->types[special];
        if (i == t->n_sequences) break;
        const int which = (i == 1) != t->second_text_first ? 1 : 0;
        memset(types, t->type_of[which], (size_t)count->n[which]);
        types += count->n[which];
    }
}

/* Packs the batch's slots behind the rows there are. */
static whet_status append(whet_ctx *ctx, const batch *b, whet_token_rows *rows, bool typed,
                          int64_t *cap, int64_t *truncated) {
    const int64_t specials = whet_i_template_specials(b->shape);
    int64_t total = rows->start[rows->n_rows];
    for (int64_t k = 0; k < b->n; k++) total += b->count[k].n[0] + b->count[k].n[1] + specials;
    if (total > *cap || !rows->ids) {
        const int64_t larger = total + total / 2;
        WHET_TRY(whet_i_realloc(ctx, &rows->ids, larger));
        if (typed) WHET_TRY(whet_i_realloc(ctx, &rows->types, larger));
        *cap = larger;
    }
    for (int64_t k = 0; k < b->n; k++) {
        const int64_t at = rows->start[rows->n_rows];
        const int64_t len = b->count[k].n[0] + b->count[k].n[1] + specials;
        if (b->count[k].failed)
            return whet_i_fail(ctx, WHET_ERR_LIMIT,
                               "tokenizer: text %lld: a regular expression of the file takes too "
                               "many steps; expected one that fails or matches soon",
                               (long long)rows->n_rows);
        if (len > 0) memcpy(rows->ids + at, b->ids + b->slot[k], (size_t)len * sizeof(int32_t));
        if (typed) put_types(b->shape, &b->count[k], rows->types + at);
        *truncated += b->count[k].cut;
        rows->start[++rows->n_rows] = at + len;
    }
    return WHET_OK;
}

/* ---- all texts -------------------------------------------------------------------------------- */

static whet_status check_texts(whet_ctx *ctx, const whet_str *texts, int64_t n, int64_t *longest) {
    for (int64_t i = 0; i < n; i++) {
        if (texts[i].len < 0 || (!texts[i].ptr && texts[i].len > 0))
            return whet_i_fail(ctx, WHET_ERR_ARG, "tokenizer: text %lld has no bytes",
                               (long long)i);
        if (texts[i].len > *longest) *longest = texts[i].len;
    }
    return WHET_OK;
}

static whet_status check_arguments(whet_ctx *ctx, batch *b, int64_t n, int64_t max_length,
                                   int64_t *longest) {
    const int64_t specials = whet_i_template_specials(b->shape);
    *longest = 0;
    if (b->shape->n_sequences == 0)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "tokenizer: its post_processor says nothing about pairs of texts; "
                           "expected single texts");
    if (n < 0 || max_length < 0 || (max_length > 0 && max_length < specials))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "tokenizer: %lld texts of at most %lld tokens; expected counts from 0, "
                           "and 0 or at least the %lld special tokens",
                           (long long)n, (long long)max_length, (long long)specials);
    WHET_TRY(check_texts(ctx, b->first, n, longest));
    if (b->second) WHET_TRY(check_texts(ctx, b->second, n, longest));
    b->room = max_length ? max_length - specials : INT64_MAX;
    return WHET_OK;
}

static whet_status encode(whet_ctx *ctx, batch *b, int64_t n, int64_t max_length, bool typed,
                          whet_token_rows *out, int64_t *truncated) {
    whet_token_rows rows = {0};
    whet_status status = WHET_OK;
    const int64_t most_texts = n < BATCH_TEXTS ? n : BATCH_TEXTS;
    const whet_str *first = b->first, *second = b->second;
    const int32_t workers = whet_ctx_threads(ctx);
    int64_t longest, cap = 0, cut = 0;
    WHET_TRY(check_arguments(ctx, b, n, max_length, &longest));
    WHET_TRY_DONE(whet_i_calloc(ctx, workers, &b->work));
    for (int32_t i = 0; i < workers; i++)
        WHET_TRY_DONE(whet_i_work_init(ctx, b->tok, longest, &b->work[i]));
    WHET_TRY_DONE(whet_i_alloc(ctx, most_texts + 1, &b->slot));
    WHET_TRY_DONE(whet_i_alloc(ctx, most_texts + 1, &b->item));
    WHET_TRY_DONE(whet_i_alloc(ctx, most_texts, &b->count));
    WHET_TRY_DONE(whet_i_calloc(ctx, n + 1, &rows.start));
    while (rows.n_rows < n) {
        b->first = first + rows.n_rows;
        if (second) b->second = second + rows.n_rows;
        WHET_TRY_DONE(plan(ctx, b, n - rows.n_rows));
        WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, b->n_items, encode_item, b));
        WHET_TRY_DONE(append(ctx, b, &rows, typed, &cap, &cut));
    }
    WHET_TRY_DONE(whet_i_realloc(ctx, &rows.ids, rows.start[n] > 0 ? rows.start[n] : 1));
    if (typed)
        WHET_TRY_DONE(whet_i_realloc(ctx, &rows.types, rows.start[n] > 0 ? rows.start[n] : 1));
    *out = rows;
    rows = (whet_token_rows){0};
    if (truncated) *truncated = cut;
done:
    for (int32_t i = 0; i < workers && b->work; i++) whet_i_work_free(ctx, &b->work[i]);
    whet_i_free(ctx, b->work);
    whet_i_free(ctx, b->slot);
    whet_i_free(ctx, b->item);
    whet_i_free(ctx, b->count);
    whet_i_free(ctx, b->ids);
    whet_token_rows_destroy(ctx, &rows);
    return status;
}

whet_status whet_i_tokenizer_encode_counted(whet_ctx *ctx, const whet_tokenizer *tokenizer,
                                            const whet_str *texts, int64_t n, int64_t max_length,
                                            whet_token_rows *out, int64_t *truncated) {
    batch b = {.tok = tokenizer, .shape = &tokenizer->single, .first = texts};
    return encode(ctx, &b, n, max_length, false, out, truncated);
}

whet_status whet_tokenizer_encode(whet_ctx *ctx, const whet_tokenizer *tokenizer,
                                  const whet_str *texts, int64_t n, int64_t max_length,
                                  whet_token_rows *out) {
    return whet_i_tokenizer_encode_counted(ctx, tokenizer, texts, n, max_length, out, NULL);
}

whet_status whet_tokenizer_encode_pairs(whet_ctx *ctx, const whet_tokenizer *tokenizer,
                                        const whet_str *first, const whet_str *second, int64_t n,
                                        int64_t max_length, whet_token_rows *out,
                                        int64_t *truncated) {
    batch b = {.tok = tokenizer,
               .shape = second ? &tokenizer->pair : &tokenizer->single,
               .first = first,
               .second = second};
    return encode(ctx, &b, n, max_length, true, out, truncated);
}

void whet_token_rows_destroy(whet_ctx *ctx, whet_token_rows *rows) {
    whet_i_free(ctx, rows->start);
    whet_i_free(ctx, rows->ids);
    whet_i_free(ctx, rows->types);
    *rows = (whet_token_rows){0};
}
