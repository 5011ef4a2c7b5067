/* SPDX-License-Identifier: Apache-2.0
 * Inside TF-IDF: the terms of a text. */
#ifndef WHET_TFIDF_I_H
#define WHET_TFIDF_I_H

#include "label/label_i.h"

/* ---- terms of a text (tfidf_terms.c) --------------------------------------------------------- */

/* Buffers that are used again from text to text. Start from {0}. */
typedef struct whet_i_terms {
    char *clean;   /* valid UTF-8 */
    int32_t *code; /* code points, composed and case-folded */
    char *words;   /* the words in UTF-8, one behind the other */
    int64_t *at;   /* where each character of `words` begins */
    int64_t clean_cap, code_cap, words_cap, at_cap;
    whet_i_buf key;
    int64_t *ids; /* what was found, ascending, with repeats */
    int64_t n_ids, ids_cap;
} whet_i_terms;

/* Fills terms->ids. grow: new terms are added to `names`; else unknown ones are left out. */
WHET_CHECKED whet_status whet_i_terms_extract(whet_ctx *ctx, whet_i_terms *terms, whet_str text,
                                              whet_names *names, bool grow);
void whet_i_terms_free(whet_ctx *ctx, whet_i_terms *terms);

#endif
