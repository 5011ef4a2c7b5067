/* SPDX-License-Identifier: Apache-2.0
 * Which table a context uses: the best that processor and operating system support, or the one
 * asked for. The choice lives in the context; nothing is remembered elsewhere. */
#include "kernels/kernels_i.h"

#ifdef WHET_KERNELS_X86
extern const whet_kernels whet_i_kernels_amx, whet_i_kernels_avx512_bf16, whet_i_kernels_avx512,
    whet_i_kernels_avx2;
#endif

static const whet_kernels *const tables[] = {
#ifdef WHET_KERNELS_X86
    &whet_i_kernels_amx,    &whet_i_kernels_avx512_bf16,
    &whet_i_kernels_avx512, &whet_i_kernels_avx2,
#endif
    &whet_i_kernels_ref,    NULL,
};

const whet_kernels *const *whet_i_kernels_all(void) { return tables; }

const whet_kernels *whet_i_kernels_best(void) {
    const whet_kernels *const *table = tables;
    while (!(*table)->supported()) table++; /* ref always is */
    return *table;
}

const whet_kernels *whet_i_kernels_f64(void) {
    const whet_kernels *const *table = tables;
#ifdef WHET_KERNELS_X86
    table++; /* past matrix tiles */
#endif
    while (!(*table)->supported()) table++;
    return *table;
}

/* The slot holds a pointer to constant data through a pointer to non-constant. */
static void set(whet_ctx *ctx, const whet_kernels *table) {
    void *state;
    memcpy(&state, &table, sizeof state);
    whet_i_slot_set(ctx, WHET_SLOT_KERNELS, state, NULL);
}

const whet_kernels *whet_i_kernels(whet_ctx *ctx) {
    if (!whet_i_slot_get(ctx, WHET_SLOT_KERNELS)) set(ctx, whet_i_kernels_best());
    return whet_i_slot_get(ctx, WHET_SLOT_KERNELS);
}

whet_status whet_kernels_select(whet_ctx *ctx, const char *name) {
    if (!name || strcmp(name, "auto") == 0) {
        set(ctx, whet_i_kernels_best());
        return WHET_OK;
    }
    char have[128] = "auto";
    for (const whet_kernels *const *table = tables; *table; table++) {
        if (!(*table)->supported()) continue;
        if (strcmp(name, (*table)->name) == 0) {
            set(ctx, *table);
            return WHET_OK;
        }
        strncat(have, ", ", sizeof have - strlen(have) - 1);
        strncat(have, (*table)->name, sizeof have - strlen(have) - 1);
    }
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail(ctx, WHET_ERR_ARG, "kernel set %s is not available here; expected one of %s",
                       whet_i_quote(quoted, whet_str_from(name)), have);
}

const char *whet_kernels_name(whet_ctx *ctx) { return whet_i_kernels(ctx)->name; }

/* ---- sizes ------------------------------------------------------------------------------------
 */

static int64_t panels(int64_t n) { return (n + WHET_I_PANEL - 1) / WHET_I_PANEL; }

int64_t whet_i_packed_count(int64_t n, int64_t k) { return panels(n) * whet_i_panel_step(k); }

/* The keys transposed [d, keys], scores of 8 queries, values padded to whole vectors. */
int64_t whet_i_attention_scratch(int64_t t, int64_t d) {
    const int64_t keys = panels(t) * WHET_I_PANEL, wide = (d + 15) / 16 * 16;
    return keys * wide + 8 * keys + 8 * wide + keys * wide;
}
