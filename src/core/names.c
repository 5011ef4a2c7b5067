/* SPDX-License-Identifier: Apache-2.0
 * An ordered set of names: bytes in an arena, open-addressing hash table of indices. Names that are the
 * numbers 0..n-1 need neither: they lie side by side, as many bytes apart as the longest takes, and are
 * found by reading the number. */
#include "core/core_i.h"

struct whet_names {
    whet_str *items;
    int64_t count, cap;
    int64_t *table; /* index + 1, 0 = empty; length table_size, a power of two */
    int64_t table_size;
    whet_i_arena bytes;
    char *numbers; /* [count, width] instead of all that, when name i is i; else NULL */
    int64_t width;
};

whet_str whet_str_from(const char *text) { return (whet_str){text, (int64_t)strlen(text)}; }

bool whet_str_equal(whet_str a, whet_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, (size_t)a.len) == 0);
}

whet_status whet_names_create(whet_ctx *ctx, whet_names **out) {
    return whet_i_calloc(ctx, 1, out);
}

void whet_names_destroy(whet_ctx *ctx, whet_names *names) {
    if (!names) return;
    whet_i_free(ctx, names->items);
    whet_i_free(ctx, names->table);
    whet_i_arena_free(ctx, &names->bytes);
    whet_i_free(ctx, names->numbers);
    whet_i_free(ctx, names);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static int64_t digits_of(int64_t number) {
    int64_t digits = 1;
    for (; number > 9; number /= 10) digits++;
    return digits;
}

whet_status whet_i_names_numbered(whet_ctx *ctx, int64_t n, whet_names **out) {
    whet_status status = WHET_OK;
    whet_names *names;
    int64_t bytes;
    WHET_TRY(whet_names_create(ctx, &names));
    names->width = digits_of(n - 1) + 1;
    WHET_TRY_DONE(whet_i_mul(ctx, n, names->width, &bytes));
    WHET_TRY_DONE(whet_i_calloc(ctx, bytes, &names->numbers));
    names->count = n;
    for (int64_t i = 0; i < n; i++) {
        char *digit = names->numbers + i * names->width + digits_of(i);
        int64_t left = i;
        do {
            *--digit = (char)('0' + left % 10);
            left /= 10;
        } while (left > 0);
    }
    *out = names;
    return WHET_OK;
done:
    whet_names_destroy(ctx, names);
    return status;
}

bool whet_i_names_are_numbers(const whet_names *names) { return names->numbers != NULL; }

int64_t whet_i_plain_number(whet_str name, int64_t limit) {
    if (name.len < 1 || name.len > 18 || (name.len > 1 && name.ptr[0] == '0')) return -1;
    int64_t value = 0;
    for (int64_t i = 0; i < name.len; i++) {
        if (name.ptr[i] < '0' || name.ptr[i] > '9') return -1;
        value = value * 10 + (name.ptr[i] - '0');
    }
    return value < limit ? value : -1;
}

/* As names like any others, so that one can be added that is no number. */
static whet_status spell_out(whet_ctx *ctx, whet_names *names) {
    whet_status status = WHET_OK;
    whet_names *spelled;
    WHET_TRY(whet_names_create(ctx, &spelled));
    for (int64_t i = 0; i < names->count; i++)
        WHET_TRY_DONE(whet_names_add(ctx, spelled, whet_names_get(names, i), NULL));
    const whet_names numbered = *names;
    *names = *spelled;
    *spelled = numbered;
done:
    whet_names_destroy(ctx, spelled);
    return status;
}

/* ---- any names ------------------------------------------------------------------------------- */

int64_t whet_names_count(const whet_names *names) { return names->count; }

whet_str whet_names_get(const whet_names *names, int64_t i) {
    if (names->numbers) return whet_str_from(names->numbers + i * names->width);
    return names->items[i];
}

/* The table place that holds the name, or the empty place where it would go. */
static int64_t place_of(const whet_names *names, whet_str name) {
    const uint64_t mask = (uint64_t)names->table_size - 1;
    uint64_t place = whet_i_hash_bytes(name.ptr, name.len) & mask;
    while (names->table[place] && !whet_str_equal(names->items[names->table[place] - 1], name))
        place = (place + 1) & mask;
    return (int64_t)place;
}

int64_t whet_names_find(const whet_names *names, whet_str name) {
    if (names->numbers) return whet_i_plain_number(name, names->count);
    if (names->count == 0) return -1;
    return names->table[place_of(names, name)] - 1;
}

static whet_status grow(whet_ctx *ctx, whet_names *names) {
    if (names->count == names->cap) {
        const int64_t cap = names->cap ? names->cap * 2 : 16;
        WHET_TRY(whet_i_realloc(ctx, &names->items, cap));
        names->cap = cap;
    }
    if (names->table_size >= 2 * (names->count + 1)) return WHET_OK;
    const int64_t size = names->table_size ? names->table_size * 2 : 64;
    int64_t *table, *old = names->table;
    WHET_TRY(whet_i_calloc(ctx, size, &table));
    names->table = table;
    names->table_size = size;
    for (int64_t i = 0; i < names->count; i++) table[place_of(names, names->items[i])] = i + 1;
    whet_i_free(ctx, old);
    return WHET_OK;
}

whet_status whet_names_add(whet_ctx *ctx, whet_names *names, whet_str name, int64_t *index) {
    const int64_t known = whet_names_find(names, name);
    if (known >= 0) {
        if (index) *index = known;
        return WHET_OK;
    }
    if (names->numbers) WHET_TRY(spell_out(ctx, names));
    WHET_TRY(grow(ctx, names));
    char *copy;
    WHET_TRY(whet_i_arena_alloc(ctx, &names->bytes, name.len + 1, 1, &copy));
    if (name.len) memcpy(copy, name.ptr, (size_t)name.len);
    copy[name.len] = '\0';
    names->items[names->count] = (whet_str){copy, name.len};
    names->table[place_of(names, names->items[names->count])] = names->count + 1;
    if (index) *index = names->count;
    names->count++;
    return WHET_OK;
}
