/* SPDX-License-Identifier: Apache-2.0
 * What modules above io share: whole files, mappings, JSON with checked getters, places of errors;
 * and the parsers from memory that files and fuzz targets both go through. */
#ifndef WHET_IO_I_H
#define WHET_IO_I_H

#include <jansson.h>

#include "whet/io.h"

#include "core/core_i.h"

/* ---- whole files ----------------------------------------------------------------------------- */

/* The file's bytes with a NUL behind them, released by whet_i_free. Pipes and devices are read to
 * their end. More than max_bytes is WHET_ERR_LIMIT; errors also IO, NOMEM. */
WHET_CHECKED whet_status whet_i_file_read(whet_ctx *ctx, const char *path, int64_t max_bytes,
                                          char **bytes, int64_t *len);
/* No limit of its own: memory is the limit. */
#define WHET_FILE_MAX (INT64_MAX / 4)

/* A regular file's bytes, mapped read-only; they are not NUL-terminated. An empty file gives a
 * non-NULL pointer and length 0. Who shortens the file meanwhile ends the process (SIGBUS). */
typedef struct whet_i_map {
    const char *ptr;
    int64_t len;
} whet_i_map;
WHET_CHECKED whet_status whet_i_map_open(whet_ctx *ctx, const char *path, whet_i_map *out);
/* Gives back the memory that holds its pages; they are read again when they are touched. */
void whet_i_map_forget(const whet_i_map *map);
/* Has the system begin to read the pages of these bytes of a map, and does not wait. */
void whet_i_pages_ask(const void *at, int64_t len);
/* {0} is fine; clears the struct. */
void whet_i_map_close(whet_i_map *map);

/* WHET_ERR_EXISTS with its sentence. */
WHET_CHECKED whet_status whet_i_out_exists(whet_ctx *ctx, const char *path);
/* What whet_out_open, whet_i_out_dir_open would refuse, before any work; nothing is left there. "-", pipes
 * and devices pass. Errors: IO, EXISTS, NOMEM. */
WHET_CHECKED whet_status whet_i_out_check(whet_ctx *ctx, const char *path, bool force);
WHET_CHECKED whet_status whet_i_out_dir_check(whet_ctx *ctx, const char *path, bool force);
/* ARG where `output`, a file of weights or a folder with model.safetensors, would take the place of `input`,
 * likewise, which is read: also with --force nobody means to lose that. */
WHET_CHECKED whet_status whet_i_out_check_apart(whet_ctx *ctx, const char *output,
                                                const char *input);
/* whet_out_dir_open; `own` (ends with NULL) are the files that such an output may have: those of an earlier
 * one that this one lacks go with it. */
WHET_CHECKED whet_status whet_i_out_dir_open(whet_ctx *ctx, const char *path, bool force,
                                             const char *const *own, whet_out_dir **out);
/* Renames a finished, synced file into place; without `force` what stands there is kept (EXISTS).
 * Errors: IO, EXISTS. */
WHET_CHECKED whet_status whet_i_out_publish(whet_ctx *ctx, const char *temporary, const char *path,
                                            bool force);

/* An array [rows, ...] of which no more than what is asked for is in memory, where its file allows: .npy
 * and .npz (stored or deflated) in C order, safetensors; else the whole array from the first reading on. */
typedef struct whet_i_array_rows whet_i_array_rows;
/* Reads the header alone. spec and errors as whet_array_read. */
WHET_CHECKED whet_status whet_i_array_rows_open(whet_ctx *ctx, const char *spec,
                                                whet_i_array_rows **out);
/* Its type and shape; without data. */
const whet_tensor *whet_i_array_rows_head(const whet_i_array_rows *rows);
/* Rows first .. first + n - 1 as `dtype`, to out [n, ...]; the array has one dimension or more. Going back
 * in a deflated array begins it anew. Errors: ARG (no such rows), FORMAT (damage, a checksum behind the last
 * row), LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_array_rows_read(whet_ctx *ctx, whet_i_array_rows *rows,
                                                int64_t first, int64_t n, whet_dtype dtype,
                                                void *out);
void whet_i_array_rows_close(whet_ctx *ctx, whet_i_array_rows *rows); /* NULL is fine */
/* Removes temporaries of this library in a folder whose processes are no more: what was half written when
 * one was killed. Says nothing, also where it cannot. */
void whet_i_remove_stale(const char *dir);
/* Whether the archive has an array of this (short) name; false when it cannot be read, which is
 * for the reader to tell. */
bool whet_i_npz_has(whet_ctx *ctx, const char *path, const char *key);
/* What an array of one short text says (scipy's "format"), "" where there is none; out holds `room` bytes. */
void whet_i_npz_word(whet_ctx *ctx, const char *path, const char *key, char *out, int64_t room);

/* An array of an archive in memory: key NULL or "" when there is one only. */
WHET_CHECKED whet_status whet_i_npz_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                          int64_t len, const char *key, whet_tensor *out);

/* An array of an archive of which no more than what is asked for is in memory. */
typedef struct whet_i_npz_stream whet_i_npz_stream;
/* Errors: as whet_array_read of "path:key", or of "path" (key NULL). */
WHET_CHECKED whet_status whet_i_npz_stream_open(whet_ctx *ctx, const char *path, const char *key,
                                                whet_i_npz_stream **out);
/* How many elements it has, or -1 when it has not one dimension. */
int64_t whet_i_npz_stream_count(const whet_i_npz_stream *stream);
/* Type and shape, without data; whether elements come in C order. */
bool whet_i_npz_stream_head(const whet_i_npz_stream *stream, whet_tensor *out);
/* The next n elements as they are: out, n times the size of the type. Errors: FORMAT. */
WHET_CHECKED whet_status whet_i_npz_stream_take(whet_ctx *ctx, whet_i_npz_stream *stream, int64_t n,
                                                void *out);
/* The next n elements as `dtype`, finite: out [n]. Errors: FORMAT (fewer are left, damage), DATA as
 * whet_array_read_as, NOMEM. */
WHET_CHECKED whet_status whet_i_npz_stream_read(whet_ctx *ctx, whet_i_npz_stream *stream, int64_t n,
                                                whet_dtype dtype, void *out);
/* Goes to the end, where the checksum is compared. Errors: FORMAT. */
WHET_CHECKED whet_status whet_i_npz_stream_end(whet_ctx *ctx, whet_i_npz_stream *stream);
WHET_CHECKED whet_status whet_i_npz_stream_rewind(whet_ctx *ctx, whet_i_npz_stream *stream);
void whet_i_npz_stream_close(whet_ctx *ctx, whet_i_npz_stream *stream); /* NULL is fine */

/* A copy of `in` as `dtype`; sentences and errors as whet_array_read_as. first: what is added to places of
 * arrays of one dimension in sentences. */
WHET_CHECKED whet_status whet_i_array_convert(whet_ctx *ctx, const char *spec,
                                              const whet_tensor *in, int64_t first,
                                              whet_dtype dtype, bool finite, whet_tensor *out);

/* The byte of the file at which a tensor that it gave begins. Pure. */
int64_t whet_i_safetensors_offset(const whet_safetensors *file, const whet_tensor *view);
/* Header of a file of these tensors, whose data need not be there: the length and the JSON, padded to a
 * multiple of 8, appended to `out`. Arguments and errors as whet_safetensors_write. */
WHET_CHECKED whet_status whet_i_safetensors_header(whet_ctx *ctx, const whet_named_tensor *items,
                                                   int64_t n, const char *const *metadata,
                                                   whet_i_buf *out);
/* The tensors of n >= 1 files as if of one, with the first one's metadata: views, the files must outlive it.
 * Errors: FORMAT (a tensor in two of them; `where` is how sentences call the whole), NOMEM. */
WHET_CHECKED whet_status whet_i_safetensors_join(whet_ctx *ctx, const char *where,
                                                 whet_safetensors *const *files, int64_t n,
                                                 whet_safetensors **out);
/* whet_i_map_forget of its file, for one whose tensors have been copied. */
void whet_i_safetensors_forget(const whet_safetensors *file);

/* ---- named arrays to and from safetensors (named_arrays.c) ------------------------------------- */

/* What will be written: views of arrays that live as long as the models they come from. */
typedef struct whet_i_store {
    whet_i_arena names, small; /* tensor names; scalars copied */
    whet_named_tensor *items;
    int64_t n, room;
} whet_i_store;

void whet_i_store_free(whet_ctx *ctx, whet_i_store *store);
/* A view as it is; neither name nor data is copied. */
WHET_CHECKED whet_status whet_i_store_put_tensor(whet_ctx *ctx, whet_i_store *store,
                                                 const char *name, const whet_tensor *view);
/* prefix "a", name "b": tensor "a.b". data is not copied. */
WHET_CHECKED whet_status whet_i_store_put(whet_ctx *ctx, whet_i_store *store, const char *prefix,
                                          const char *name, whet_dtype dtype, const void *data,
                                          int64_t rows, int64_t columns);
WHET_CHECKED whet_status whet_i_store_put_scalar(whet_ctx *ctx, whet_i_store *store,
                                                 const char *prefix, const char *name,
                                                 double value);

/* An opened file, and its name for sentences. */
typedef struct whet_i_source {
    const whet_safetensors *file;
    const char *path;
} whet_i_source;

/* A copy of the tensor "prefix.name", which must have this type and shape, and numbers of at most
 * 1e60 in size: rows, columns of -1 = any, and told in *rows, *columns. columns NULL: rank 1.
 * Errors: FORMAT (absent), SHAPE, DATA, NOMEM. */
WHET_CHECKED whet_status whet_i_source_get(whet_ctx *ctx, const whet_i_source *source,
                                           const char *prefix, const char *name, whet_dtype dtype,
                                           int64_t *rows, int64_t *columns, void *out);
WHET_CHECKED whet_status whet_i_source_scalar(whet_ctx *ctx, const whet_i_source *source,
                                              const char *prefix, const char *name, double *out);

/* ---- places, paths, small files ----------------------------------------------------------------- */

/* 1-based line and column (in bytes) of an offset. */
void whet_i_line_column(const char *bytes, int64_t offset, int64_t *line, int64_t *column);
/* The path ends with this extension (".npy"), whatever the case of ASCII letters. */
bool whet_i_has_extension(const char *path, const char *extension);

/* "dir/name", NUL-terminated, released by whet_i_free. Errors: NOMEM. */
WHET_CHECKED whet_status whet_i_join_path(whet_ctx *ctx, const char *dir, const char *name,
                                          char **out);
/* Writes the file dir/name whole, or not at all. force: one that exists makes way. Errors: IO, EXISTS,
 * NOMEM. */
WHET_CHECKED whet_status whet_i_write_file(whet_ctx *ctx, const char *dir, const char *name,
                                           bool force, const char *bytes, int64_t len);

/* A class list from memory; where: the name for sentences. */
WHET_CHECKED whet_status whet_i_names_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                            int64_t len, whet_names **out);

/* JSON lines that grow: a last line cut in its middle, with no line end and no JSON, is left out. *torn: its
 * number, 0 = there is none. Errors: as whet_table_read. (table_jsonl.c) */
WHET_CHECKED whet_status whet_i_journal_read(whet_ctx *ctx, const char *path, whet_table **out,
                                             int64_t *torn);

/* A column that the format has, not one that somebody named: as whet_table_find, but FORMAT when the table
 * lacks it. (table.c) */
WHET_CHECKED whet_status whet_i_table_needs(whet_ctx *ctx, const whet_table *table,
                                            const char *column, int64_t *out);

/* ---- tables part by part ---------------------------------------------------------------------- */

/* A text table of any length in parts of whole rows, so that one part at a time is in memory; pipes are
 * read whole. */
typedef struct whet_i_table_parts whet_i_table_parts;
/* Parts are of about `part_bytes` bytes, and of the longest row at least. Errors: as whet_table_read. */
WHET_CHECKED whet_status whet_i_table_parts_open(whet_ctx *ctx, const char *path,
                                                 int64_t part_bytes, whet_i_table_parts **out);
/* The next part, a table with the file's header and line numbers, owned by the caller; NULL behind the
 * last. There is always a first, which may have no rows. Errors as whet_table_read, at the first part
 * that has one; JSONL columns are those of the part. */
WHET_CHECKED whet_status whet_i_table_parts_next(whet_ctx *ctx, whet_i_table_parts *parts,
                                                 whet_table **out);
/* Back to the first part. Errors: IO. */
WHET_CHECKED whet_status whet_i_table_parts_rewind(whet_ctx *ctx, whet_i_table_parts *parts);
/* Bytes of the whole table: of what it says, no more than in proportion to them need be believed. */
int64_t whet_i_table_parts_bytes(const whet_i_table_parts *parts);
void whet_i_table_parts_close(whet_ctx *ctx, whet_i_table_parts *parts); /* NULL is fine */

/* ---- labels ---------------------------------------------------------------------------------- */

typedef struct whet_i_given_label {
    int64_t row;  /* of the data */
    int64_t line; /* of the file that gives the label */
    whet_str name;
} whet_i_given_label;

/* Labels of some rows, views into a table. items is released by whet_i_free. */
typedef struct whet_i_given_labels {
    const char *path;
    whet_i_given_label *items;
    int64_t n;
} whet_i_given_labels;

/* The cells of a column that are not empty, spaces around them away; or a table with the columns
 * row (0-based, of n_rows) and label. Names must be printable UTF-8 (DATA with the line).
 * What they leave in `given` on failure is released by whet_i_free(ctx, given->items). */
WHET_CHECKED whet_status whet_i_labels_of_column(whet_ctx *ctx, const whet_table *table,
                                                 int64_t column, whet_i_given_labels *given);
WHET_CHECKED whet_status whet_i_labels_of_sparse(whet_ctx *ctx, const whet_table *table,
                                                 int64_t n_rows, whet_i_given_labels *given);
/* The distinct names, sorted (as numbers when all are), so that their order is not the file's. Warns of such
 * that look the same. */
WHET_CHECKED whet_status whet_i_labels_classes(whet_ctx *ctx, const whet_i_given_labels *given,
                                               whet_names **out);
/* Warns of names that differ only in case, or in bytes that look the same. O(bytes). Errors: NOMEM. */
WHET_CHECKED whet_status whet_i_warn_of_names(whet_ctx *ctx, const char *path,
                                              const whet_names *names);
/* Without the spaces around it, Unicode's too: in a name they are a slip of the table's writer. Pure. */
whet_str whet_i_trim(whet_str name);
/* Length of the valid UTF-8 sequence at text[0 .. len), or 0. Pure. */
int64_t whet_i_utf8_length(const char *text, int64_t len);
/* Warns of empty texts, and of those that are not UTF-8. O(bytes). */
void whet_i_warn_of_texts(whet_ctx *ctx, const char *path, const whet_str *texts, int64_t n);

/* ---- JSON ------------------------------------------------------------------------------------ */

/* A parsed document, owned: json_decref. Duplicate keys and nesting deeper than 2048 are refused.
 * where  the file's name for sentences: "where:line:column: ..."
 * Memory of the document is jansson's own and not counted by the context. Errors: FORMAT, LIMIT,
 * NOMEM; reading also IO. */
WHET_CHECKED whet_status whet_i_json_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                           int64_t len, json_t **out);
WHET_CHECKED whet_status whet_i_json_read(whet_ctx *ctx, const char *path, int64_t max_bytes,
                                          json_t **out);

/* Appends the document as text, by jansson's flags. NULL, and a document that cannot be written (text
 * that is not UTF-8), are WHET_ERR_NOMEM: what was packed from checked parts lacks memory alone. */
WHET_CHECKED whet_status whet_i_json_dump(whet_ctx *ctx, const json_t *json, size_t flags,
                                          whet_i_buf *out);

/* As a file of one line, numbers with all their digits; NULL is lacking memory. Errors: IO, EXISTS, NOMEM. */
WHET_CHECKED whet_status whet_i_json_save(whet_ctx *ctx, const json_t *json, const char *path,
                                          bool force);

/* A real, or null where x is not finite: JSON has no NaN. */
json_t *whet_i_json_number(double x);

/* Members of an object, checked. Each sentence reads `where: "key" is <found>; expected <what>`;
 * `where` names the file, and the object in it when that helps ("tokenizer.json: model").
 * Wrong type, missing and out of range are WHET_ERR_FORMAT, the output untouched. Views live as
 * long as the document. The _or forms give `fallback` when the key is absent or null. */
WHET_CHECKED whet_status whet_i_json_int(whet_ctx *ctx, const char *where, const json_t *object,
                                         const char *key, int64_t least, int64_t most,
                                         int64_t *out);
WHET_CHECKED whet_status whet_i_json_int_or(whet_ctx *ctx, const char *where, const json_t *object,
                                            const char *key, int64_t least, int64_t most,
                                            int64_t fallback, int64_t *out);
/* Any finite number, written with or without a point. */
WHET_CHECKED whet_status whet_i_json_real(whet_ctx *ctx, const char *where, const json_t *object,
                                          const char *key, double *out);
WHET_CHECKED whet_status whet_i_json_real_or(whet_ctx *ctx, const char *where, const json_t *object,
                                             const char *key, double fallback, double *out);
WHET_CHECKED whet_status whet_i_json_bool(whet_ctx *ctx, const char *where, const json_t *object,
                                          const char *key, bool *out);
WHET_CHECKED whet_status whet_i_json_bool_or(whet_ctx *ctx, const char *where, const json_t *object,
                                             const char *key, bool fallback, bool *out);
/* NUL-terminated behind its len bytes. */
WHET_CHECKED whet_status whet_i_json_str(whet_ctx *ctx, const char *where, const json_t *object,
                                         const char *key, whet_str *out);
/* Absent or null gives {NULL, 0}. */
WHET_CHECKED whet_status whet_i_json_str_or_none(whet_ctx *ctx, const char *where,
                                                 const json_t *object, const char *key,
                                                 whet_str *out);
WHET_CHECKED whet_status whet_i_json_object(whet_ctx *ctx, const char *where, const json_t *object,
                                            const char *key, json_t **out);
WHET_CHECKED whet_status whet_i_json_array(whet_ctx *ctx, const char *where, const json_t *object,
                                           const char *key, json_t **out);
/* Absent or null gives NULL. */
WHET_CHECKED whet_status whet_i_json_object_or_none(whet_ctx *ctx, const char *where,
                                                    const json_t *object, const char *key,
                                                    json_t **out);
WHET_CHECKED whet_status whet_i_json_array_or_none(whet_ctx *ctx, const char *where,
                                                   const json_t *object, const char *key,
                                                   json_t **out);
/* "an integer", "a string", "missing" (NULL), ...; pure. */
const char *whet_i_json_kind(const json_t *value);

/* ---- regular expressions (pattern.c) ---------------------------------------------------------- */

/* PCRE2 over bytes that are read as UTF-8, invalid ones matched by nothing; no just-in-time code. `whole`:
 * nothing but the whole text matches, else any part of it. where: for sentences. The context must outlive
 * the pattern. Errors: UNSUPPORTED with the position, NOMEM. */
typedef struct whet_i_pattern whet_i_pattern;
typedef struct whet_i_pattern_opts {
    bool ignore_case, whole;
    bool python; /* was written in Python's words: for the sentence */
} whet_i_pattern_opts;
WHET_CHECKED whet_status whet_i_pattern_compile(whet_ctx *ctx, const char *where, whet_str pattern,
                                                whet_i_pattern_opts opts, whet_i_pattern **out);
/* For a name of parts behind points, as PEFT takes patterns of ranks: all of it, or its end behind a
 * point. */
WHET_CHECKED whet_status whet_i_pattern_compile_end(whet_ctx *ctx, const char *where,
                                                    whet_str pattern, whet_i_pattern **out);
/* As Python's re reads it, for the whole of a text, or as PEFT wraps it for the end of a name of parts behind
 * points (python_pattern.c). Errors: UNSUPPORTED (what Python does not have, or is not known here), NOMEM. */
WHET_CHECKED whet_status whet_i_pattern_compile_python(whet_ctx *ctx, const char *where,
                                                       whet_str pattern, bool end,
                                                       whet_i_pattern **out);
/* Whether Python reads the pattern as whet_i_pattern_compile does, or as whet_i_pattern_compile_end. Errors:
 * NOMEM. */
WHET_CHECKED whet_status whet_i_pattern_is_python(whet_ctx *ctx, whet_str pattern, bool end,
                                                  bool *out);
void whet_i_pattern_free(whet_ctx *ctx, whet_i_pattern *pattern); /* NULL is fine */
/* One worker's state for all patterns. */
typedef struct whet_i_pattern_state whet_i_pattern_state;
WHET_CHECKED whet_status whet_i_pattern_state_create(whet_ctx *ctx, int64_t match_limit,
                                                     whet_i_pattern_state **out);
void whet_i_pattern_state_free(whet_ctx *ctx, whet_i_pattern_state *state); /* NULL is fine */
/* 1 found, 0 not, -1 the match ran over its limit. */
int whet_i_pattern_find(const whet_i_pattern *pattern, whet_i_pattern_state *state, whet_str text);

/* ---- adapter_config.json (peft_config.c) ------------------------------------------------------- */

/* Of a parsed adapter_config.json: members that change what adapters compute in a way that is not known here
 * are refused by name, those that are unknown are warned of. Errors: UNSUPPORTED. */
WHET_CHECKED whet_status whet_i_peft_check(whet_ctx *ctx, const char *where, json_t *object);
/* Refuses the config of layers whose weights are [in, out] (GPT-2's). Errors: UNSUPPORTED. */
WHET_CHECKED whet_status whet_i_peft_check_upright(whet_ctx *ctx, const char *where,
                                                   const json_t *object);
/* Whether a member is there and is not null, false or empty. Pure. */
bool whet_i_peft_says(const json_t *object, const char *key);
/* An alpha, -1e30 to 1e30. Errors: FORMAT. */
WHET_CHECKED whet_status whet_i_peft_alpha(whet_ctx *ctx, const char *where, const json_t *object,
                                           const char *key, double preset, double *out);
/* What LoRA's B A of a module is multiplied by: alpha / rank, or alpha / sqrt(rank) (rsLoRA), with the alpha
 * that the first fitting pattern gives the module. Refused where the rank is another than r and the first
 * fitting pattern of ranks say. Errors: FORMAT, SHAPE, UNSUPPORTED (a pattern), NOMEM. */
WHET_CHECKED whet_status whet_i_peft_lora_scale(whet_ctx *ctx, const char *where,
                                                const json_t *object, whet_str module, int64_t rank,
                                                double *out);

/* ---- reports as HTML (html.c) ------------------------------------------------------------------ */

/* Appends to a buffer `out` that the caller owns, or returns. */
#define WHET_PUT(...) WHET_TRY(whet_i_buf_printf(ctx, out, __VA_ARGS__))

/* Appends text with invalid UTF-8 replaced by U+FFFD and control characters by spaces. */
WHET_CHECKED whet_status whet_i_append_clean(whet_ctx *ctx, whet_i_buf *buf, whet_str text);
/* The same with <>&"' escaped. */
WHET_CHECKED whet_status whet_i_html(whet_ctx *ctx, whet_i_buf *out, whet_str text);
/* The same, cut to `most` characters with an ellipsis. */
WHET_CHECKED whet_status whet_i_html_cut(whet_ctx *ctx, whet_i_buf *out, whet_str text,
                                         int64_t most);
/* "12,345"; out holds WHET_COUNT_SIZE bytes; returns out. */
enum { WHET_COUNT_SIZE = 32 };
const char *whet_i_count(char out[WHET_COUNT_SIZE], int64_t n);
/* The document up to <body>, with the style of all reports (classes: see there); the title is ours. */
WHET_CHECKED whet_status whet_i_html_head(whet_ctx *ctx, whet_i_buf *out, const char *title);

/* ---- axes of pictures (plot_axis.c) ------------------------------------------------------------ */

/* Ends and ticks at round numbers. All pure. */
typedef struct whet_i_plot_axis {
    double low, high, step; /* ends are multiples of the step */
} whet_i_plot_axis;

/* 1, 2 or 5 times a power of ten, of which at most five lie in `range`. */
double whet_i_round_step(double range);
/* Holds low to high; of one value, a range about it; of none (low > high), 0 to 1. */
whet_i_plot_axis whet_i_plot_axis_over(double low, double high);
/* How many steps it has. */
int whet_i_plot_axis_count(whet_i_plot_axis axis);
/* Where tick i stands: a multiple of the step, without what rounding leaves of it. */
double whet_i_plot_axis_tick(whet_i_plot_axis axis, int i);

#endif
