/* SPDX-License-Identifier: Apache-2.0
 * Byte pair encoding: a word is cut into symbols (bytes or code points), then the pair of
 * neighbours of the lowest rank, the leftmost of equals, is merged, until no pair has a rank.
 * Source: Sennrich, Haddow, Birch 2016 (1508.07909); the order of Hugging Face's Word::merge_all.
 *
 * Short words keep the ranks of their pairs in an array and look for the least anew each time; for
 * long ones (a whole document without pre-tokenisation is one) symbols are a linked list and pairs
 * wait in a heap: O(n log n). An entry of the heap is stale when the pair at its place has another
 * rank now.
 *
 * Vocabularies of SentencePiece hardly ever merge across the begin of a word (U+2581, the mark for a
 * space). Where no merge at all does, a document falls into its words, with the same result. */
#include "nn/bpe_i.h"

#define SHORT 48 /* symbols; about where the heap begins to win */
#define NO_RANK UINT32_MAX

/* ---- pairs ------------------------------------------------------------------------------------ */

static uint64_t key_of(int32_t a, int32_t b) { return (uint64_t)(uint32_t)a << 32 | (uint32_t)b; }

static const whet_i_bpe_pair *find(const whet_i_bpe *bpe, int32_t a, int32_t b) {
    const uint64_t key = key_of(a, b), mask = ((uint64_t)1 << (64 - bpe->shift)) - 1;
    uint64_t place = (key * 0x9E3779B97F4A7C15u) >> bpe->shift;
    while (bpe->table[place].rank != NO_RANK && bpe->table[place].key != key)
        place = (place + 1) & mask;
    return &bpe->table[place];
}

static uint32_t rank_of(const whet_i_bpe *bpe, int32_t a, int32_t b) {
    return find(bpe, a, b)->rank;
}

whet_status whet_i_bpe_reserve(whet_ctx *ctx, whet_i_bpe *bpe, int64_t n) {
    int64_t size = 16;
    bpe->shift = 60;
    for (; size < 2 * n; size *= 2) bpe->shift--;
    WHET_TRY(whet_i_alloc(ctx, size, &bpe->table));
    for (int64_t i = 0; i < size; i++) bpe->table[i] = (whet_i_bpe_pair){.rank = NO_RANK};
    return whet_i_alloc(ctx, n, &bpe->merged);
}

void whet_i_bpe_add(whet_i_bpe *bpe, int32_t a, int32_t b, uint32_t rank, int32_t merged) {
    whet_i_bpe_pair *place = &bpe->table[find(bpe, a, b) - bpe->table];
    *place = (whet_i_bpe_pair){key_of(a, b), rank};
    bpe->merged[rank] = merged;
}

void whet_i_bpe_free(whet_ctx *ctx, whet_i_bpe *bpe) {
    whet_i_free(ctx, bpe->table);
    whet_i_free(ctx, bpe->merged);
}

/* ---- symbols of a word ------------------------------------------------------------------------ */

static void put(whet_i_ids *out, int32_t id) {
    if (out->n < out->cap) out->ids[out->n++] = id;
}

static uint32_t step_all(const whet_i_trie *trie, uint32_t node, const uint8_t *p,
                         const uint8_t *end) {
    while (p < end && node) node = whet_i_trie_step(trie, node, *p++);
    return node;
}

/* The symbol's id, with what the model puts before and behind it, or -1. */
static int32_t symbol_id(const whet_i_bpe *bpe, const uint8_t *p, const uint8_t *end, bool first,
                         bool last) {
    uint32_t node = first ? WHET_I_TRIE_ROOT : bpe->inside;
    node = step_all(bpe->vocab, node, p, end);
    if (last && bpe->suffix_len)
        node = step_all(bpe->vocab, node, bpe->suffix, bpe->suffix + bpe->suffix_len);
    return node ? bpe->vocab->values[node] : -1;
}

/* The bytes of a symbol that is not in the vocabulary as tokens <0xNN>; false when one lacks. */
static bool put_bytes(const whet_i_bpe *bpe, const uint8_t *p, const uint8_t *end, bool first,
                      bool last, whet_i_ids *out) {
    const uint8_t *const parts[3][2] = {{bpe->prefix, bpe->prefix + (first ? 0 : bpe->prefix_len)},
                                        {p, end},
                                        {bpe->suffix, bpe->suffix + (last ? bpe->suffix_len : 0)}};
    for (int i = 0; i < 3; i++)
        for (const uint8_t *b = parts[i][0]; b < parts[i][1]; b++)
            if (bpe->byte_token[*b] < 0) return false;
    for (int i = 0; i < 3; i++)
        for (const uint8_t *b = parts[i][0]; b < parts[i][1]; b++) put(out, bpe->byte_token[*b]);
    return true;
}

/* Symbols of a word into out. An unknown one waits for its neighbours (fuse_unk) and is put before
 * the next known one, but behind tokens of bytes: Hugging Face's order. */
static void symbols(const whet_i_bpe *bpe, const uint8_t *word, const uint8_t *end,
                    whet_i_ids *out) {
    bool waiting = false;
    for (const uint8_t *p = word, *next; p < end; p = next) {
        const uint8_t *from = p, *to;
        if (bpe->byte_level) {
            next = p + 1;
            from = bpe->char_of[*p].bytes;
            to = from + bpe->char_of[*p].len;
        } else {
            (void)whet_i_utf8_decode(p, end, &next);
            to = next;
        }
        const bool first = p == word, last = next == end;
        const int32_t id = symbol_id(bpe, from, to, first, last);
        if (id >= 0) {
            if (waiting) put(out, bpe->unk);
            waiting = false;
            put(out, id);
        } else if (!bpe->byte_fallback || !put_bytes(bpe, from, to, first, last, out)) {
            if (waiting && !bpe->fuse_unk) put(out, bpe->unk);
            waiting = bpe->unk >= 0;
        }
    }
    if (waiting) put(out, bpe->unk);
}

/* Bytes as symbols, where nothing stands before or behind them and all are known. */
static void byte_symbols(const whet_i_bpe *bpe, const uint8_t *word, int64_t len, whet_i_ids *out) {
    for (int64_t i = 0; i < len; i++) out->ids[i] = bpe->first_id[word[i]];
    out->n = len;
}

/* ---- merging ---------------------------------------------------------------------------------- */

/* In place; returns the new count. */
static int64_t merge_short(const whet_i_bpe *bpe, int32_t *ids, int64_t n) {
    uint32_t rank[SHORT];
    for (int64_t i = 0; i + 1 < n; i++) rank[i] = rank_of(bpe, ids[i], ids[i + 1]);
    for (;;) {
        int64_t at = 0;
        uint32_t least = NO_RANK;
        for (int64_t i = 0; i + 1 < n; i++) {
            if (rank[i] >= least) continue;
            least = rank[i];
            at = i;
        }
        if (least == NO_RANK) return n;
        ids[at] = bpe->merged[least];
        n--;
        for (int64_t i = at + 1; i < n; i++) ids[i] = ids[i + 1];
        for (int64_t i = at + 1; i + 1 < n; i++) rank[i] = rank[i + 1];
        if (at > 0) rank[at - 1] = rank_of(bpe, ids[at - 1], ids[at]);
        if (at + 1 < n) rank[at] = rank_of(bpe, ids[at], ids[at + 1]);
    }
}

typedef struct heap {
    uint64_t *entries; /* rank << 32 | place: the least first */
    int64_t n;
} heap;

static void sift_down(heap *h, int64_t i) {
    const uint64_t entry = h->entries[i];
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= h->n) break;
        if (child + 1 < h->n && h->entries[child + 1] < h->entries[child]) child++;
        if (h->entries[child] >= entry) break;
        h->entries[i] = h->entries[child];
        i = child;
    }
    h->entries[i] = entry;
}

static void push(heap *h, uint64_t entry) {
    int64_t i = h->n++;
    for (; i > 0 && h->entries[(i - 1) / 2] > entry; i = (i - 1) / 2)
        h->entries[i] = h->entries[(i - 1) / 2];
    h->entries[i] = entry;
}

static uint64_t pop(heap *h) {
    const uint64_t top = h->entries[0];
    h->entries[0] = h->entries[--h->n];
    if (h->n) sift_down(h, 0);
    return top;
}

typedef struct list {
    const whet_i_bpe *bpe;
    int32_t *ids;
    int32_t *next, *before; /* [n], n and -1 at the ends */
    uint32_t *rank;         /* [n] of the pair that starts here */
    int32_t n;
    heap waiting; /* at most 2n: a merge takes one entry and gives two */
} list;

static void renew(list *l, int32_t at) {
    const int32_t next = l->next[at];
    l->rank[at] = next < l->n ? rank_of(l->bpe, l->ids[at], l->ids[next]) : NO_RANK;
    if (l->rank[at] != NO_RANK) push(&l->waiting, (uint64_t)l->rank[at] << 32 | (uint32_t)at);
}

/* In place; memory holds WHET_I_BPE_SYMBOL_BYTES for each symbol. */
static int64_t merge_long(const whet_i_bpe *bpe, int32_t *ids, int64_t count, uint8_t *memory) {
    const int32_t n = (int32_t)count;
    list l = {.bpe = bpe, .ids = ids, .n = n};
    l.waiting.entries = (uint64_t *)(void *)memory;
    l.next = (int32_t *)(void *)(l.waiting.entries + 2 * count);
    l.before = l.next + count;
    l.rank = (uint32_t *)(void *)(l.before + count);
    for (int32_t i = 0; i < n; i++) {
        l.next[i] = i + 1;
        l.before[i] = i - 1;
    }
    for (int32_t i = 0; i < n; i++) renew(&l, i);
    while (l.waiting.n) {
        const uint64_t top = pop(&l.waiting);
        const int32_t at = (int32_t)(uint32_t)top, right = l.next[at];
        if (l.rank[at] != (uint32_t)(top >> 32)) continue;
        ids[at] = bpe->merged[l.rank[at]];
        l.rank[right] = NO_RANK; /* taken: its entries are stale */
        l.next[at] = l.next[right];
        if (l.next[at] < n) l.before[l.next[at]] = at;
        renew(&l, at);
        if (l.before[at] >= 0) renew(&l, l.before[at]);
    }
    int64_t left = 0;
    for (int32_t i = 0; i < n; i = l.next[i]) ids[left++] = ids[i];
    return left;
}

int64_t whet_i_bpe_merge(const whet_i_bpe *bpe, int32_t *ids, int64_t n, uint8_t *memory,
                         bool heap_only) {
    return n <= SHORT && !heap_only ? merge_short(bpe, ids, n) : merge_long(bpe, ids, n, memory);
}

/* ---- a word ----------------------------------------------------------------------------------- */

/* The whole word's token, or -1 (ignore_merges). */
static int32_t whole(const whet_i_bpe *bpe, const uint8_t *word, const uint8_t *end) {
    uint32_t node = WHET_I_TRIE_ROOT;
    if (!bpe->byte_level) {
        node = step_all(bpe->vocab, node, word, end);
    } else {
        for (; word < end && node; word++)
            node = step_all(bpe->vocab, node, bpe->char_of[*word].bytes,
                            bpe->char_of[*word].bytes + bpe->char_of[*word].len);
    }
    return node ? bpe->vocab->values[node] : -1;
}

/* Symbols, then merges, of a word or of a part of one. */
static void encode_part(const whet_i_bpe *bpe, const uint8_t *word, int64_t len, uint8_t *memory,
                        whet_i_ids *out) {
    /* Symbols lie in front of the memory that merging needs. */
    const int64_t most = len * bpe->most_symbols + bpe->more_symbols;
    whet_i_ids parts = {(int32_t *)(void *)memory, 0, most};
    memory += (most * (int64_t)sizeof(int32_t) + 7) / 8 * 8;
    if (bpe->plain_bytes)
        byte_symbols(bpe, word, len, &parts);
    else
        symbols(bpe, word, word + len, &parts);
    const int64_t n = whet_i_bpe_merge(bpe, parts.ids, parts.n, memory, false);
    const int64_t room = out->cap - out->n, taken = n < room ? n : room;
    if (taken > 0) memcpy(out->ids + out->n, parts.ids, (size_t)taken * sizeof(int32_t));
    out->n += taken;
}

static bool is_mark(const whet_i_bpe *bpe, const uint8_t *p, const uint8_t *end) {
    return end - p >= bpe->mark_len && memcmp(p, bpe->mark, (size_t)bpe->mark_len) == 0;
}

/* The next place behind p where a mark follows what is none, or end. */
static const uint8_t *next_cut(const whet_i_bpe *bpe, const uint8_t *p, const uint8_t *end) {
    while (is_mark(bpe, p, end)) p += bpe->mark_len;
    for (; p < end; p++) {
        p = memchr(p, bpe->mark[0], (size_t)(end - p));
        if (!p) return end;
        if (is_mark(bpe, p, end)) return p;
    }
    return end;
}

void whet_i_bpe_word(const whet_i_bpe *bpe, const uint8_t *word, int64_t len, uint8_t *memory,
                     whet_i_ids *out) {
    if (bpe->ignore_merges) {
        const int32_t id = whole(bpe, word, word + len);
        if (id >= 0) {
            put(out, id);
            return;
        }
    }
    const uint8_t *const end = word + len;
    while (word < end && out->n < out->cap) {
        const uint8_t *stop = bpe->mark_len ? next_cut(bpe, word, end) : end;
        encode_part(bpe, word, stop - word, memory, out);
        word = stop;
    }
}
