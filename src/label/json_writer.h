/* SPDX-License-Identifier: Apache-2.0
 * JSON objects put together without a test after each member: members are added whatever became of
 * the others, and the first that lacks memory is remembered. */
#ifndef WHET_LABEL_JSON_WRITER_H
#define WHET_LABEL_JSON_WRITER_H

#include <jansson.h>
#include <math.h>
#include <stdbool.h>

#include "whet/core.h"

typedef struct whet_i_json_writer {
    json_t *object;
    bool ok;
} whet_i_json_writer;

/* Takes the value over; NULL is lacking memory. */
static inline void whet_i_json_put(whet_i_json_writer *w, const char *key, json_t *value) {
    if (json_object_set_new(w->object, key, value) != 0) w->ok = false;
}

static inline void whet_i_json_push(whet_i_json_writer *w, json_t *array, json_t *value) {
    if (json_array_append_new(array, value) != 0) w->ok = false;
}

/* n numbers x[0], x[stride], ...; null for what is not finite. */
static inline json_t *whet_i_json_reals(whet_i_json_writer *w, const double *x, int64_t n,
                                        int64_t stride) {
    json_t *array = json_array();
    for (int64_t i = 0; i < n; i++)
        whet_i_json_push(w, array,
                         isfinite(x[i * stride]) ? json_real(x[i * stride]) : json_null());
    return array;
}

static inline json_t *whet_i_json_name(whet_str name) {
    return json_stringn(name.ptr, (size_t)name.len);
}

static inline json_t *whet_i_json_names(whet_i_json_writer *w, const whet_names *names) {
    json_t *array = json_array();
    for (int64_t i = 0; i < whet_names_count(names); i++)
        whet_i_json_push(w, array, whet_i_json_name(whet_names_get(names, i)));
    return array;
}

/* The object, or NULL (and nothing is kept) when memory was short. */
static inline json_t *whet_i_json_done(whet_i_json_writer *w) {
    if (w->ok) return w->object;
    json_decref(w->object);
    return NULL;
}

#endif
