/* SPDX-License-Identifier: Apache-2.0
 * The keywords of many rules found in one pass over a text: the automaton of Aho & Corasick (1975),
 * completed to a table of states by classes of bytes, so that a byte costs one step whatever the
 * number of words.
 * Bytes that no word holds share class 0, which leads to the root. With case ignored words are folded,
 * and so are texts by who scans them, but for ASCII, where the two cases of a letter share a class.
 * A whole word ends where neither neighbour is a letter, digit or underscore
 * of ASCII or any byte beyond it. */
#include "label/case_folding.h"
#include "label/rules_i.h"

typedef struct ending {
    int64_t rule;
    int64_t len;
    int32_t next; /* another that ends in the same state; -1 */
    bool whole;
} ending;

struct whet_i_keywords {
    uint8_t class_of[256];
    int64_t classes, states;
    int32_t *next;   /* [states, classes] */
    int32_t *first;  /* [states] ending, -1 */
    int32_t *suffix; /* [states] longest proper suffix that has an ending, 0: none */
    ending *end;     /* [words] */
    int64_t ends;
};

static uint8_t folded(uint8_t byte) {
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte - 'A' + 'a') : byte;
}

/* Classes of bytes; more than 255 distinct ones leave no class 0 of its own, which is then unused. */
static void number_bytes(whet_i_keywords *k, const whet_i_keyword *words, int64_t n,
                         bool ignore_case) {
    bool used[256] = {false};
    for (int64_t w = 0; w < n; w++)
        for (int64_t i = 0; i < words[w].word.len; i++) {
            const uint8_t byte = (uint8_t)words[w].word.ptr[i];
            used[ignore_case ? folded(byte) : byte] = true;
        }
    int64_t distinct = 0;
    for (int b = 0; b < 256; b++) distinct += used[b];
    int64_t class = distinct == 256 ? 0 : 1;
    for (int b = 0; b < 256; b++) k->class_of[b] = used[b] ? (uint8_t) class ++ : 0;
    k->classes = class;
    if (ignore_case)
        for (int b = 'A'; b <= 'Z'; b++) k->class_of[b] = k->class_of[b - 'A' + 'a'];
}

static void add_word(whet_i_keywords *k, const whet_i_keyword *word) {
    int32_t at = 0;
    for (int64_t i = 0; i < word->word.len; i++) {
        int32_t *to = &k->next[at * k->classes + k->class_of[(uint8_t)word->word.ptr[i]]];
        if (*to == 0) *to = (int32_t)k->states++;
        at = *to;
    }
    k->end[k->ends] = (ending){word->rule, word->word.len, k->first[at], word->whole};
    k->first[at] = (int32_t)k->ends++;
}

/* Breadth first: a state's failure is nearer to the root, and complete already. */
static void complete(whet_i_keywords *k, int32_t *failure, int32_t *queue) {
    int64_t head = 0, tail = 0;
    for (int64_t c = 0; c < k->classes; c++)
        if (k->next[c]) queue[tail++] = k->next[c];
    while (head < tail) {
        const int32_t at = queue[head++], back = failure[at];
        k->suffix[at] = k->first[back] >= 0 ? back : k->suffix[back];
        for (int64_t c = 0; c < k->classes; c++) {
            int32_t *to = &k->next[at * k->classes + c];
            const int32_t other = k->next[back * k->classes + c];
            if (*to) {
                failure[*to] = other;
                queue[tail++] = *to;
            } else {
                *to = other;
            }
        }
    }
}

void whet_i_keywords_free(whet_ctx *ctx, whet_i_keywords *k) {
    if (!k) return;
    whet_i_free(ctx, k->next);
    whet_i_free(ctx, k->first);
    whet_i_free(ctx, k->suffix);
    whet_i_free(ctx, k->end);
    whet_i_free(ctx, k);
}

static whet_status build(whet_ctx *ctx, const whet_i_keyword *words, int64_t n, bool ignore_case,
                         whet_i_keywords **out) {
    whet_status status = WHET_OK;
    whet_i_keywords *k = NULL;
    int32_t *failure = NULL, *queue = NULL;
    int64_t most = 1, cells;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &k));
    for (int64_t w = 0; w < n; w++) WHET_TRY_DONE(whet_i_add(ctx, most, words[w].word.len, &most));
    if (most > INT32_MAX || n > INT32_MAX) {
        status = whet_i_fail(ctx, WHET_ERR_LIMIT, "keywords of %lld bytes; expected below 2^31",
                             (long long)most);
        goto done;
    }
    number_bytes(k, words, n, ignore_case);
    WHET_TRY_DONE(whet_i_mul(ctx, most, k->classes, &cells));
    WHET_TRY_DONE(whet_i_calloc(ctx, cells, &k->next));
    WHET_TRY_DONE(whet_i_alloc(ctx, most, &k->first));
    WHET_TRY_DONE(whet_i_calloc(ctx, most, &k->suffix));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &k->end));
    WHET_TRY_DONE(whet_i_calloc(ctx, most, &failure));
    WHET_TRY_DONE(whet_i_alloc(ctx, most, &queue));
    for (int64_t s = 0; s < most; s++) k->first[s] = -1;
    k->states = 1;
    for (int64_t w = 0; w < n; w++) add_word(k, &words[w]);
    complete(k, failure, queue);
    *out = k;
    k = NULL;
done:
    whet_i_keywords_free(ctx, k);
    whet_i_free(ctx, failure);
    whet_i_free(ctx, queue);
    return status;
}

/* The words folded, one behind the other in a buffer. */
static whet_status fold_words(whet_ctx *ctx, const whet_i_keyword *words, int64_t n,
                              whet_i_keyword *folded, whet_i_buf *bytes) {
    whet_status status = WHET_OK;
    whet_i_fold_room room = {0};
    int64_t most = 0, at = 0;
    for (int64_t w = 0; w < n; w++) most = words[w].word.len > most ? words[w].word.len : most;
    WHET_TRY_DONE(whet_i_fold_room_make(ctx, most, &room));
    for (int64_t w = 0; w < n; w++) {
        const whet_str word = whet_i_fold(words[w].word, &room);
        folded[w] = words[w];
        folded[w].word.len = word.len;
        WHET_TRY_DONE(whet_i_buf_append(ctx, bytes, word.ptr, word.len));
    }
    for (int64_t w = 0; w < n; at += folded[w++].word.len) folded[w].word.ptr = bytes->data + at;
done:
    whet_i_fold_room_free(ctx, &room);
    return status;
}

whet_status whet_i_keywords_build(whet_ctx *ctx, const whet_i_keyword *words, int64_t n,
                                  bool ignore_case, whet_i_keywords **out) {
    whet_status status = WHET_OK;
    whet_i_keyword *folded = NULL;
    whet_i_buf bytes = {0};
    if (!ignore_case) return build(ctx, words, n, false, out);
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &folded));
    WHET_TRY_DONE(fold_words(ctx, words, n, folded, &bytes));
    status = build(ctx, folded, n, true, out);
done:
    whet_i_buf_free(ctx, &bytes);
    whet_i_free(ctx, folded);
    return status;
}

static bool is_of_word(char c) {
    return whet_i_is_digit(c) || whet_i_is_upper(c) || whet_i_is_lower(c) || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool stands_alone(whet_str text, int64_t begin, int64_t end) {
    return (begin == 0 || !is_of_word(text.ptr[begin - 1])) &&
           (end == text.len || !is_of_word(text.ptr[end]));
}

void whet_i_keywords_scan(const whet_i_keywords *k, whet_str text, bool *found) {
    int32_t at = 0;
    for (int64_t i = 0; i < text.len; i++) {
        at = k->next[at * k->classes + k->class_of[(uint8_t)text.ptr[i]]];
        for (int32_t s = k->first[at] >= 0 ? at : k->suffix[at]; s; s = k->suffix[s])
            for (int32_t e = k->first[s]; e >= 0; e = k->end[e].next) {
                const ending *word = &k->end[e];
                if (found[word->rule]) continue;
                if (!word->whole || stands_alone(text, i + 1 - word->len, i + 1))
                    found[word->rule] = true;
            }
    }
}
