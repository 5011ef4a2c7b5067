/* SPDX-License-Identifier: Apache-2.0
 * Where the mass went over a tree: the tree is cut into parts, each a subtree or an inner node by
 * itself, by opening again and again the subtree that holds most; beside each part the share of the
 * labels, of the probability, of argmax and of the Frechet mean that fell into it. */
#include <math.h>

#include "space/picture_i.h"

enum { PARTS = 20, KINDS = 4, BAR = 7, GAP = 12, NAMES = 220, BARS = 420 };

/* Shares at and below a point, of labels, probability, argmax, Frechet mean. */
typedef struct shares {
    double of[KINDS];
} shares;

typedef struct part {
    int64_t point;
    bool alone; /* the point by itself, without what is below it */
    shares s;
} part;

static const char *const KIND[KINDS] = {"labels", "probability", "argmax", "Frechet mean"};
static const char *const COLOUR[KINDS] = {"#777", "#9cb8e8", PICTURE_ARGMAX, PICTURE_FRECHET};

static double most_of(const shares *s) {
    double most = 0;
    for (int k = 0; k < KINDS; k++) most = fmax(most, s->of[k]);
    return most;
}

static void add_own(const whet_label_set *set, const whet_space_picture *p, shares *own) {
    double total = 0, rows = 0;
    for (int64_t j = 0; j < set->k; j++) total += p->mass[j];
    for (int64_t r = 0; r < p->rows; r++) rows += p->truth[r] >= 0;
    for (int64_t j = 0; j < set->k; j++)
        own[set->observed[j]].of[1] += total > 0 ? p->mass[j] / total : 0;
    for (int64_t r = 0; r < p->rows; r++) {
        if (p->truth[r] < 0) continue;
        own[p->truth[r]].of[0] += 1 / rows;
        own[p->argmax[r]].of[2] += 1 / rows;
        own[p->frechet[r]].of[3] += 1 / rows;
    }
}

/* Children of each point, one after another. */
typedef struct family {
    int64_t *first, *next; /* [n] first child, next sibling; -1 = none */
} family;

static whet_status family_make(whet_ctx *ctx, const space_tree *t, int64_t n, family *out) {
    WHET_TRY(whet_i_alloc(ctx, n, &out->first));
    WHET_TRY(whet_i_alloc(ctx, n, &out->next));
    for (int64_t v = 0; v < n; v++) out->first[v] = -1;
    for (int64_t v = n - 1; v >= 0; v--) {
        const int64_t up = t->parent[v];
        out->next[v] = up < 0 ? -1 : out->first[up];
        if (up >= 0) out->first[up] = v;
    }
    return WHET_OK;
}

/* Replaces part i by its children that hold anything, and the point by itself; false when there is
 * no room for them or nothing to open. */
static bool open_part(const family *tree, const shares *below, const shares *own, part *parts,
                      int64_t *count, int64_t i) {
    const part opened = parts[i];
    int64_t children = 0;
    if (opened.alone) return false;
    for (int64_t v = tree->first[opened.point]; v >= 0; v = tree->next[v])
        children += most_of(&below[v]) > 0;
    const bool stays = most_of(&own[opened.point]) > 0;
    if (children == 0 || *count - 1 + children + stays > PARTS) return false;
    int64_t end = --*count;
    memmove(parts + i, parts + i + 1, (size_t)(end - i) * sizeof *parts);
    if (stays) parts[end++] = (part){opened.point, true, own[opened.point]};
    for (int64_t v = tree->first[opened.point]; v >= 0; v = tree->next[v])
        if (most_of(&below[v]) > 0) parts[end++] = (part){v, false, below[v]};
    *count = end;
    return true;
}

/* Opens what holds most until nothing that fits is left. */
static int64_t cut_tree(int64_t root, const family *tree, const shares *below, const shares *own,
                        part *parts) {
    int64_t count = 1;
    bool closed[PARTS] = {false};
    parts[0] = (part){root, false, below[root]};
    for (;;) {
        int64_t best = -1;
        for (int64_t i = 0; i < count; i++)
            if (!closed[i] && (best < 0 || most_of(&parts[i].s) > most_of(&parts[best].s)))
                best = i;
        if (best < 0) return count;
        if (open_part(tree, below, own, parts, &count, best))
            memset(closed, 0, sizeof closed);
        else
            closed[best] = true;
    }
}

static whet_status draw_part(whet_ctx *ctx, const whet_label_set *set, const part *drawn,
                             double most, double top, whet_i_buf *svg) {
    WHET_TRY(whet_i_buf_printf(ctx, svg, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", NAMES,
                               top + KINDS * BAR / 2.0 + 4));
    WHET_TRY(whet_i_svg_text(ctx, svg, whet_names_get(set->space->names, drawn->point),
                             drawn->alone ? 24 : 30));
    WHET_TRY(whet_i_buf_printf(ctx, svg, "%s</text>\n", drawn->alone ? " itself" : ""));
    for (int k = 0; k < KINDS; k++)
        WHET_TRY(whet_i_buf_printf(
            ctx, svg,
            "<rect x=\"%d\" y=\"%.1f\" width=\"%.2f\" height=\"%d\" fill=\"%s\"><title>%s: %.2f "
            "%%</title></rect>\n",
            NAMES + 8, top + k * BAR, drawn->s.of[k] / most * BARS, BAR - 1, COLOUR[k], KIND[k],
            100 * drawn->s.of[k]));
    return whet_i_buf_printf(ctx, svg,
                             "<text x=\"%.1f\" y=\"%.1f\" fill=\"#777\">%.1f %% \xE2\x86\x92 %.1f "
                             "%%</text>\n",
                             NAMES + 14 + most_of(&drawn->s) / most * BARS,
                             top + KINDS * BAR / 2.0 + 4, 100 * drawn->s.of[2],
                             100 * drawn->s.of[3]);
}

static whet_status draw_parts(whet_ctx *ctx, const whet_label_set *set, const part *parts,
                              int64_t count, whet_i_buf *svg, double *top) {
    double most = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, most_of(&parts[i].s));
    WHET_TRY(
        whet_i_buf_printf(ctx, svg,
                          "<text x=\"20\" y=\"%.1f\" font-weight=\"bold\">Where the mass went: "
                          "shares of the rows with a label</text>\n",
                          *top + 20));
    for (int k = 0; k < KINDS; k++)
        WHET_TRY(whet_i_buf_printf(ctx, svg,
                                   "<rect x=\"%d\" y=\"%.1f\" width=\"10\" height=\"10\" "
                                   "fill=\"%s\"/><text x=\"%d\" y=\"%.1f\">%s</text>\n",
                                   NAMES + 8 + 120 * k, *top + 32, COLOUR[k], NAMES + 22 + 120 * k,
                                   *top + 41, KIND[k]));
    *top += 54;
    for (int64_t i = 0; i < count; i++) {
        WHET_TRY(draw_part(ctx, set, &parts[i], most, *top, svg));
        *top += KINDS * BAR + GAP;
    }
    return WHET_OK;
}

whet_status whet_i_picture_tree(whet_ctx *ctx, const whet_label_set *set,
                                const whet_space_picture *p, whet_i_buf *svg, double *top) {
    const space_tree *t = &set->space->tree;
    const int64_t n = set->space->n;
    whet_status status = WHET_OK;
    shares *own = NULL, *below = NULL;
    family tree = {0};
    part parts[PARTS];
    WHET_TRY_DONE(family_make(ctx, t, n, &tree));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &own));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &below));
    add_own(set, p, own);
    memcpy(below, own, (size_t)n * sizeof *own);
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t v = t->order[i];
        for (int k = 0; k < KINDS; k++) below[t->parent[v]].of[k] += below[v].of[k];
    }
    const int64_t count = cut_tree(t->order[0], &tree, below, own, parts);
    status = draw_parts(ctx, set, parts, count, svg, top);
done:
    whet_i_free(ctx, tree.first);
    whet_i_free(ctx, tree.next);
    whet_i_free(ctx, below);
    whet_i_free(ctx, own);
    return status;
}
