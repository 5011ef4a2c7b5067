/* SPDX-License-Identifier: Apache-2.0
 * The nearest known word to a misspelt one: optimal string alignment (Levenshtein with swaps of
 * neighbours), two letters or a third of the word allowed, ties by table order. */
#include <string.h>

#include "cli.h"

enum { LONGEST = 63 };

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

static int32_t edit_distance(const char *a, int32_t n, const char *b, int32_t m) {
    int32_t rows[3][LONGEST + 1];
    for (int32_t j = 0; j <= m; j++) rows[0][j] = j;
    for (int32_t i = 1; i <= n; i++) {
        int32_t *now = rows[i % 3];
        const int32_t *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        now[0] = i;
        for (int32_t j = 1; j <= m; j++) {
            const int32_t change = above[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = least(change, least(above[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], above2[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

const char *cli_nearest(const char *word, const char *const *words, int32_t n) {
    const char *best = NULL;
    const size_t length = strlen(word);
    if (length == 0 || length > LONGEST) return NULL;
    const int32_t allowed = length < 3 ? 1 : length < 9 ? 2 : (int32_t)length / 3;
    int32_t best_distance = allowed + 1;
    for (int32_t i = 0; i < n; i++) {
        const size_t other = strlen(words[i]);
        if (other > LONGEST) continue;
        int32_t distance = edit_distance(word, (int32_t)length, words[i], (int32_t)other);
        /* "label" for "labels", "test-feat" for "test-features": a beginning is as good as near. */
        if (distance > allowed && length >= 4 && strncmp(word, words[i], length) == 0)
            distance = allowed;
        if (distance < best_distance && distance < (int32_t)other) {
            best_distance = distance;
            best = words[i];
        }
    }
    return best;
}
