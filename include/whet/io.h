/* SPDX-License-Identifier: Apache-2.0
 * io: files in, checked structures out; and outputs that are whole or absent.
 *
 * Sizes read from files are untrusted: checked against the bytes present before anything is
 * allocated. Sentences name the file and the line or byte. */
#ifndef WHET_IO_H
#define WHET_IO_H

#include "whet/core.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- output files: a temporary beside the target, synced, then renamed ----------------------- */

typedef struct whet_out whet_out;

/* path "-" is standard output, written directly like pipes and devices. An existing path is kept
 * (WHET_ERR_EXISTS) unless `force`; permissions follow the umask. */
WHET_API WHET_CHECKED whet_status whet_out_open(whet_ctx *ctx, const char *path, bool force,
                                                whet_out **out);
/* Buffered; a full disk is WHET_ERR_IO here or at commit. */
WHET_API WHET_CHECKED whet_status whet_out_write(whet_ctx *ctx, whet_out *out, const void *bytes,
                                                 int64_t len);
WHET_API WHET_CHECKED whet_status whet_out_printf(whet_ctx *ctx, whet_out *out, const char *format,
                                                  ...) WHET_PRINTF(3, 4);
/* Flushes, syncs, renames into place and releases `out` whatever happens. */
WHET_API WHET_CHECKED whet_status whet_out_commit(whet_ctx *ctx, whet_out *out);
/* Path of the temporary, so that a signal handler can unlink it before the process ends; NULL when
 * the target is written directly (standard output, devices). Valid until commit or abort. */
WHET_API const char *whet_out_temporary(const whet_out *out);
/* Removes the temporary and releases; NULL is fine. */
WHET_API void whet_out_abort(whet_ctx *ctx, whet_out *out);
/* Whether both paths lead to one place: the same text, one file or folder that is there (links are
 * followed), or one name, not there yet, in one folder that is. Thread-safe. */
WHET_API bool whet_same_path(const char *a, const char *b);

/* A directory that appears whole: files are written under whet_out_dir_path, then
 * whet_out_dir_commit renames it to `path`. With `force` the entries that an existing directory
 * shares with the new one are replaced, and its others are kept with a warning. Opening puts in order
 * what processes that are no more have left beside `path`: a temporary goes, a directory that made way
 * for one comes back. Errors: IO (also what cannot be replaced: a file, a mount, "."), EXISTS, NOMEM. */
typedef struct whet_out_dir whet_out_dir;
WHET_API WHET_CHECKED whet_status whet_out_dir_open(whet_ctx *ctx, const char *path, bool force,
                                                    whet_out_dir **out);
/* The temporary directory to write into, valid until commit or abort. */
WHET_API const char *whet_out_dir_path(const whet_out_dir *dir);
WHET_API WHET_CHECKED whet_status whet_out_dir_commit(whet_ctx *ctx, whet_out_dir *dir);
WHET_API void whet_out_dir_abort(whet_ctx *ctx, whet_out_dir *dir);

/* ---- arrays ---------------------------------------------------------------------------------- */

/* spec is "X.npy", "X.npz:key" or "X.safetensors:name" (the key may be left out when there is one
 * array; a path that exists may hold colons). The result is owned: whet_tensor_destroy.
 * Little-endian files; npy versions 1-3, C or Fortran order (made C); npz stored or deflated.
 * Errors: IO, FORMAT, LIMIT, NOMEM, UNSUPPORTED (dtype), ARG (no such key, or several arrays). */
WHET_API WHET_CHECKED whet_status whet_array_read(whet_ctx *ctx, const char *spec,
                                                  whet_tensor *out);
/* Like whet_array_read, then requires `rank` dimensions (else WHET_ERR_SHAPE) and converts to
 * `dtype`. WHET_ERR_DATA names the index of a number that an integer type cannot hold exactly and,
 * when `finite`, of NaN or infinity in the result. */
WHET_API WHET_CHECKED whet_status whet_array_read_as(whet_ctx *ctx, const char *spec,
                                                     whet_dtype dtype, int32_t rank, bool finite,
                                                     whet_tensor *out);
WHET_API WHET_CHECKED whet_status whet_npy_write(whet_ctx *ctx, const char *path, bool force,
                                                 const whet_tensor *tensor);
/* Writes a .npy row block by row block without holding it whole: open with the full shape, append
 * rows in order, commit. */
typedef struct whet_npy_stream whet_npy_stream;
WHET_API WHET_CHECKED whet_status whet_npy_stream_open(whet_ctx *ctx, const char *path, bool force,
                                                       whet_dtype dtype, int32_t rank,
                                                       const int64_t *shape, whet_npy_stream **out);
WHET_API WHET_CHECKED whet_status whet_npy_stream_append(whet_ctx *ctx, whet_npy_stream *stream,
                                                         const void *rows, int64_t n_rows);
/* WHET_ERR_SHAPE (and nothing written) when fewer rows than announced were appended. */
WHET_API WHET_CHECKED whet_status whet_npy_stream_commit(whet_ctx *ctx, whet_npy_stream *stream);
WHET_API void whet_npy_stream_abort(whet_ctx *ctx, whet_npy_stream *stream);

typedef struct whet_named_tensor {
    const char *name;
    whet_tensor tensor;
} whet_named_tensor;
/* Uncompressed .npz (stored), readable by numpy.load. */
WHET_API WHET_CHECKED whet_status whet_npz_write(whet_ctx *ctx, const char *path, bool force,
                                                 const whet_named_tensor *items, int64_t n);

/* ---- safetensors ----------------------------------------------------------------------------- */

/* An opened file, memory-mapped, header checked whole: offsets inside the file, sizes equal to
 * shape x dtype, no overlap, no duplicate name. Read-only: may be shared. */
typedef struct whet_safetensors whet_safetensors;

/* Errors: IO, FORMAT (with what is wrong with the header), LIMIT, NOMEM. O(header). */
WHET_API WHET_CHECKED whet_status whet_safetensors_open(whet_ctx *ctx, const char *path,
                                                        whet_safetensors **out);
WHET_API void whet_safetensors_close(whet_ctx *ctx, whet_safetensors *file);
WHET_API int64_t whet_safetensors_count(const whet_safetensors *file);
WHET_API whet_str whet_safetensors_name(const whet_safetensors *file, int64_t i);
/* A view into the mapping, valid while the file is open; data may be unaligned for its type.
 * false when there is no such tensor. */
WHET_API bool whet_safetensors_find(const whet_safetensors *file, const char *name,
                                    whet_tensor *view);
/* Value of a metadata key, or {NULL,0}. */
WHET_API whet_str whet_safetensors_metadata(const whet_safetensors *file, const char *key);
/* Tensors in the order given, keys of metadata in pairs (NULL-terminated list, may be NULL). */
WHET_API WHET_CHECKED whet_status whet_safetensors_write(whet_ctx *ctx, const char *path,
                                                         bool force, const whet_named_tensor *items,
                                                         int64_t n, const char *const *metadata);

/* ---- tables ---------------------------------------------------------------------------------- */

/* A text table in memory: TSV (header, no quoting), CSV (header, RFC 4180) or JSONL (one object a
 * line; numbers, booleans and strings become text, null and absent become empty), by extension
 * (.tsv .csv .jsonl .ndjson; .txt as TSV). A byte-order mark and CRLF line ends are accepted.
 * JSONL columns stand in the order in which they first appear; numbers keep their spelling, nested
 * values stay JSON text. Cells may hold any bytes, NUL included. Blank lines are skipped in CSV and
 * JSONL; in TSV only behind the last row, or they are empty cells of a single column.
 * Ragged rows, columns without a name or of the same name, and unterminated quotes are
 * WHET_ERR_FORMAT with the line. Memory: the file's size, 4 bytes a cell and 8 to 24 a row (in
 * growing formats up to twice the latter). Read-only: may be shared. */
typedef struct whet_table whet_table;

/* Reads the whole file. Errors: IO, FORMAT, LIMIT, NOMEM. O(bytes). */
WHET_API WHET_CHECKED whet_status whet_table_read(whet_ctx *ctx, const char *path,
                                                  whet_table **out);
WHET_API void whet_table_destroy(whet_ctx *ctx, whet_table *table);
WHET_API int64_t whet_table_rows(const whet_table *table);
WHET_API const whet_names *whet_table_columns(const whet_table *table);
/* Column index by name; WHET_ERR_ARG lists the columns there are (nearest first). */
WHET_API WHET_CHECKED whet_status whet_table_find(whet_ctx *ctx, const whet_table *table,
                                                  const char *column, int64_t *out);
/* A view of a cell, valid while the table lives; NUL-terminated behind its len bytes. O(1), in
 * JSONL with varying members O(members of the row). */
WHET_API whet_str whet_table_cell(const whet_table *table, int64_t row, int64_t column);
/* 1-based line of the file on which data row `row` starts, for sentences. */
WHET_API int64_t whet_table_line(const whet_table *table, int64_t row);
WHET_API const char *whet_table_path(const whet_table *table);

/* A class list: one name a line, without the spaces around it; blank lines skipped; duplicates
 * WHET_ERR_FORMAT with the line. */
WHET_API WHET_CHECKED whet_status whet_names_read(whet_ctx *ctx, const char *path,
                                                  whet_names **out);

/* ---- trees and graphs ------------------------------------------------------------------------ */

/* Nodes with names, and weighted edges, as read; nothing derived. Owned by the caller. */
typedef struct whet_edges {
    whet_names *names; /* node names; nodes without names are called by their 0-based index */
    int64_t n_edges;
    int64_t *from, *to; /* node indices; for rooted sources from = parent, to = child */
    double *length;     /* >= 0 and finite; 1 where the file gives none */
    bool rooted;        /* parent tables, parent.npy, Newick */
} whet_edges;

/* By extension, else by content: edge list `a b [length]` (split at tabs, or at spaces when a line
 * has no tab), TSV parent table (header child, parent [, length]; an empty parent says root),
 * parents .npy or .npz:key as whet_edges_read_parents, Newick (.nwk .newick .tree .tre: quotes,
 * [comments], missing lengths, text before the first parenthesis; nodes in preorder).
 * Errors: IO, FORMAT with line or byte, LIMIT, NOMEM. O(bytes). */
WHET_API WHET_CHECKED whet_status whet_edges_read(whet_ctx *ctx, const char *path, whet_edges *out);
/* A parent array: integers [N], entry i the parent of node i, -1 at the root.
 * names_path    one line a node, name in the first tab-separated field, may be empty; or NULL
 * lengths_spec  array [N] of edge lengths to the parent (the root's is not used); or NULL = 1
 * Leaves must have distinct names; inner names that repeat are dropped (support values). */
WHET_API WHET_CHECKED whet_status whet_edges_read_parents(whet_ctx *ctx, const char *parents,
                                                          const char *names_path,
                                                          const char *lengths_spec,
                                                          whet_edges *out);
WHET_API void whet_edges_destroy(whet_ctx *ctx, whet_edges *edges);

#ifdef __cplusplus
}
#endif
#endif
