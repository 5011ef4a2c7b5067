/* SPDX-License-Identifier: Apache-2.0
 * Inside TF-IDF: terms of a text, and the arrays that a saved classifier keeps. */
#ifndef WHET_TFIDF_I_H
#define WHET_TFIDF_I_H

#include "whet/label.h"

#include "core/core_i.h"

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

/* ---- what is saved --------------------------------------------------------------------------- */

typedef struct whet_i_tfidf_arrays {
    int64_t terms, dim;
    const double *idf;       /* [terms] */
    const float *projection; /* [terms, dim] */
} whet_i_tfidf_arrays;

/* Views into the object. */
whet_i_tfidf_arrays whet_i_tfidf_view(const whet_tfidf *tfidf);
/* The terms, each ended by a line feed (no term holds one), appended to `out`. */
WHET_CHECKED whet_status whet_i_tfidf_write_terms(whet_ctx *ctx, const whet_tfidf *tfidf,
                                                  whet_i_buf *out);
/* An object from saved arrays, which are copied and not trusted: as many distinct terms as said,
 * finite numbers. Errors: FORMAT, NOMEM. */
WHET_CHECKED whet_status whet_i_tfidf_restore(whet_ctx *ctx, const char *terms, int64_t len,
                                              const whet_i_tfidf_arrays *arrays, whet_tfidf **out);

#endif
