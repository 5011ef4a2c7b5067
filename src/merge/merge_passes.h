/* SPDX-License-Identifier: Apache-2.0
 * Between the passes and the reading and writing of numbers. */
#ifndef WHET_MERGE_PASSES_H
#define WHET_MERGE_PASSES_H

#include "merge/merging_i.h"

typedef enum whet_i_merge_fault_kind {
    WHET_I_MERGE_FINE,
    WHET_I_MERGE_UNREADABLE,
    WHET_I_MERGE_NOT_FINITE,
    WHET_I_MERGE_NEGATIVE,
    WHET_I_MERGE_RESULT, /* is not finite */
    WHET_I_MERGE_OVERFLOW,
    WHET_I_MERGE_UNWRITABLE
} whet_i_merge_fault_kind;

/* What went wrong where a sentence cannot be made. */
typedef struct whet_i_merge_fault {
    whet_i_merge_fault_kind kind;
    int64_t element, source;
    int error; /* errno; 0 with UNREADABLE: the file ends */
} whet_i_merge_fault;

/* Notes it; false. */
static inline bool whet_i_merge_faults(whet_i_merge_fault *f, whet_i_merge_fault_kind kind,
                                       int64_t element, int64_t source, int error) {
    *f = (whet_i_merge_fault){kind, element, source, error};
    return false;
}
/* Its sentence and status. */
WHET_CHECKED whet_status whet_i_merge_tell(whet_ctx *ctx, const whet_i_merge_tensor *t,
                                           const whet_i_merge_fault *fault);

/* How the tensor is cut, from its shape and method. Pure. */
void whet_i_merge_cut(whet_i_merge_tensor *t, int32_t threads);
WHET_CHECKED whet_status whet_i_merge_room_create(whet_ctx *ctx, whet_i_merge_tensor *t);
void whet_i_merge_room_destroy(whet_ctx *ctx, whet_i_merge_tensor *t);
/* Order statistics that its method has at once. Pure. */
int64_t whet_i_merge_streams(const whet_i_merge_tensor *t);
/* Bytes of whet_i_merge_select for so many streams. Pure. */
int64_t whet_i_merge_select_bytes(const whet_i_merge_tensor *t, int64_t streams);
int64_t whet_i_merge_bracket_bytes(const whet_i_merge_tensor *t, int64_t streams);
/* whet_i_merge_select in one pass; *found false: it has to be done otherwise, and nothing was changed. */
WHET_CHECKED whet_status whet_i_merge_bracket(whet_ctx *ctx, whet_i_merge_tensor *t,
                                              whet_i_merge_keys keys, void *arg, int64_t n_streams,
                                              whet_i_merge_top *tops, int64_t n_tops, bool *found);
/* Keys of `pieces` pieces of `len` numbers from all over the tensor, the same ones each time: out
 * [n_streams, pieces, len]. pieces len is at most the tensor's count. */
WHET_CHECKED whet_status whet_i_merge_sample(whet_ctx *ctx, whet_i_merge_tensor *t,
                                             whet_i_merge_keys keys, void *arg, int64_t n_streams,
                                             int64_t pieces, int64_t len, uint32_t *out);

/* Numbers first .. first + n - 1 of a source as f32 to out [n]; raw [8 n] bytes of scratch. false with
 * errno when the file cannot be read, errno 0 when it ends before. */
bool whet_i_merge_read(const whet_i_merge_tensor *t, const whet_i_merge_source *source,
                       int64_t first, int64_t n, char *raw, float *out);
/* raw [n] of a file's dtype, not F32, as f32 to out [n]. */
void whet_i_merge_widen(const whet_i_merge_tensor *t, whet_dtype dtype, const char *raw, int64_t n,
                        float *out);
/* Numbers in the type of the output, to nearest even, to raw [8 n] (F32: nothing is done). Gives the place
 * of the first that does not fit, or is not finite; n when all do. */
int64_t whet_i_merge_encode(const whet_i_merge_tensor *t, const float *x, int64_t n, char *raw);
/* false with errno when the file cannot be read, errno 0 when it ends before. */
bool whet_i_merge_pread(int fd, char *bytes, int64_t len, int64_t offset);
bool whet_i_merge_pwrite(int fd, const char *bytes, int64_t len, int64_t offset);
/* Asks the system for what is read soon after numbers 0 .. number - 1 of an item; does not wait for it, and
 * says nothing where it cannot be had: it is read then. Thread-safe. */
void whet_i_merge_ahead_reach(whet_i_merge_ahead *ahead, int64_t item, int64_t number);
uint16_t whet_i_f16_from_f32(float x); /* to nearest even; pure */

#endif
