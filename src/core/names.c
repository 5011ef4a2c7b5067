/* SPDX-License-Identifier: Apache-2.0
 * An ordered set of names: bytes in an arena, open-addressing hash table of indices. */
#include "core/core_i.h"

struct whet_names {
    whet_str *items;
    int64_t count, cap;
    int64_t *table; /* index + 1, 0 = empty; length table_size, a power of two */
    int64_t table_size;
    whet_i_arena bytes;
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
    whet_i_free(ctx, names);
}

int64_t whet_names_count(const whet_names *names) { return names->count; }

whet_str whet_names_get(const whet_names *names, int64_t i) { return names->items[i]; }

/* The table place that holds the name, or the empty place where it would go. */
static int64_t place_of(const whet_names *names, whet_str name) {
    const uint64_t mask = (uint64_t)names->table_size - 1;
    uint64_t place = whet_i_hash_bytes(name.ptr, name.len) & mask;
    while (names->table[place] && !whet_str_equal(names->items[names->table[place] - 1], name))
        place = (place + 1) & mask;
    return (int64_t)place;
}

int64_t whet_names_find(const whet_names *names, whet_str name) {
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
