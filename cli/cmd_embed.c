/* SPDX-License-Identifier: Apache-2.0
 * whet embed: a column of texts through a pretrained encoder into a .npy. */
#include <stdlib.h>
#include <time.h>

#include "cli.h"

const cli_option cmd_embed_options[] = {
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "Hugging Face folder: config.json, tokenizer.json, model.safetensors (or the files of "
             "its index)"},
    {.name = "input",
     .type = CLI_PATH,
     .required = true,
     .help = "texts: .tsv, .csv or .jsonl, with a header"},
    {.name = "column",
     .type = CLI_STRING,
     .value = "COL",
     .preset = "text",
     .help = "which column holds the texts"},
    {.name = "output",
     .type = CLI_OUTPUT,
     .value = "X.npy",
     .required = true,
     .help = "embeddings [rows, size], float32, in the order of the file"},
    {.name = "dtype",
     .type = CLI_ENUM,
     .choices = "f32|bf16",
     .preset = "f32",
     .help = "weights and products; bf16 halves the memory, and the time where the processor "
             "multiplies bfloat16"},
    {.name = "pooling",
     .type = CLI_ENUM,
     .choices = "mean|cls",
     .help = "tokens to text; without it, what the model's folder says, else mean"},
    {.name = "no-normalize", .type = CLI_FLAG, .help = "do not scale the rows to length 1"},
    {.name = "max-length",
     .type = CLI_INT,
     .value = "N",
     .min = 1,
     .max = INT32_MAX,
     .help = "tokens a text, special ones included; without it, the model's limit"},
    {.name = "batch-tokens",
     .type = CLI_INT,
     .value = "N",
     .min = 1,
     .max = INT32_MAX,
     .help = "tokens a thread works on at once; changes memory and speed, never a result"},
    {.name = "adapter",
     .type = CLI_LIST,
     .value = "DIR[=WEIGHT]",
     .help = "folder of adapters for the model, and what its change counts for, 1 without; may be "
             "repeated"},
    {.name = "heads-of",
     .type = CLI_PATH,
     .value = "DIR",
     .help = "the adapter whose modules that were trained whole are taken; the others' are left "
             "out"},
    {.name = "any-base", .type = CLI_FLAG, .help = "a base with other weights is only warned of"},
    {0},
};

/* Rows embedded at once: bounds the memory of long tables; a row's bits do not depend on it. */
enum { BLOCK_ROWS = 65536 };

static whet_status load_encoder(cli_run *run, whet_encoder **out) {
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    opts.dtype = cli_choice(run, "dtype") == 1 ? WHET_BF16 : WHET_F32;
    opts.pooling_given = cli_given(run, "pooling");
    opts.pooling = cli_choice(run, "pooling") == 1 ? WHET_POOL_CLS : WHET_POOL_MEAN;
    opts.no_normalize = cli_flag(run, "no-normalize");
    opts.max_length = cli_integer(run, "max-length");
    opts.batch_tokens = cli_integer(run, "batch-tokens");
    if (cli_list_count(run, "adapter") == 0 && cli_flag(run, "any-base"))
        return cli_fail(run, WHET_ERR_ARG, "--any-base is of adapters; expected --adapter");
    if (cli_list_count(run, "adapter") == 0 && cli_given(run, "heads-of"))
        return cli_fail(run, WHET_ERR_ARG, "--heads-of is of adapters; expected --adapter");
    if (cli_list_count(run, "adapter") == 0)
        return whet_encoder_load(run->ctx, cli_text(run, "model"), &opts, out);
    cli_weighted w = {0};
    whet_status status = cli_weighted_read(run, &w);
    if (status == WHET_OK) {
        const whet_adapter_use use = cli_weighted_use(run, &w);
        status = whet_encoder_load_adapted(run->ctx, cli_text(run, "model"), &opts, &use, out);
    }
    cli_weighted_free(&w);
    return status;
}

static whet_status embed_block(cli_run *run, const whet_encoder *encoder, const whet_table *table,
                               int64_t column, int64_t first, int64_t rows, whet_str *texts,
                               float *vectors, whet_npy_stream *stream, int64_t *truncated) {
    int64_t some = 0;
    for (int64_t i = 0; i < rows; i++) texts[i] = whet_table_cell(table, first + i, column);
    const whet_status status =
        whet_encoder_embed_counted(run->ctx, encoder, texts, rows, vectors, &some);
    if (status != WHET_OK) return status;
    *truncated += some;
    return whet_npy_stream_append(run->ctx, stream, vectors, rows);
}

static whet_status embed_table(cli_run *run, const whet_encoder *encoder, const whet_table *table,
                               int64_t column, int64_t *truncated) {
    const int64_t n = whet_table_rows(table), dim = whet_encoder_dim(encoder);
    const int64_t block = n < BLOCK_ROWS ? n : BLOCK_ROWS;
    whet_npy_stream *stream = NULL;
    whet_status status = whet_npy_stream_open(run->ctx, cli_text(run, "output"), run->force,
                                              WHET_F32, 2, (int64_t[]){n, dim}, &stream);
    if (status != WHET_OK) return status;
    whet_str *texts = malloc((size_t)(block + 1) * sizeof *texts);
    float *vectors = malloc((size_t)(block + 1) * (size_t)dim * sizeof *vectors);
    if (!texts || !vectors)
        status = cli_fail(run, WHET_ERR_NOMEM, "out of memory: %lld embeddings of %lld numbers",
                          (long long)block, (long long)dim);
    for (int64_t first = 0; status == WHET_OK && first < n; first += block)
        status =
            embed_block(run, encoder, table, column, first, n - first < block ? n - first : block,
                        texts, vectors, stream, truncated);
    if (status == WHET_OK)
        status = whet_npy_stream_commit(run->ctx, stream);
    else
        whet_npy_stream_abort(run->ctx, stream);
    free(vectors);
    free(texts);
    return status;
}

static void warn_of_truncated(cli_run *run, const whet_encoder *encoder, const whet_table *table,
                              int64_t truncated) {
    const int64_t n = whet_table_rows(table);
    const bool few = truncated * 20 <= n;
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "%s: %lld of %lld texts %s longer than %lld tokens; their ends are not read",
                   whet_table_path(table), (long long)truncated, (long long)n,
                   truncated == 1 ? "is" : "are", (long long)whet_encoder_max_length(encoder));
    cli_log_hook(run, few ? WHET_LOG_INFO : WHET_LOG_WARN, text);
}

static double seconds_since(const struct timespec *start) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

static void report(cli_run *run, const whet_encoder *encoder, int64_t rows, double seconds) {
    const char *output = cli_text(run, "output");
    const long long dim = (long long)whet_encoder_dim(encoder);
    cli_print(run, "%s: %lld embeddings of %lld numbers in %.1f s\n", output, (long long)rows, dim,
              seconds);
    cli_json(run, json_pack("{s:s, s:I, s:I, s:s, s:s, s:s, s:f}", "output", output, "rows",
                            (json_int_t)rows, "dim", (json_int_t)dim, "dtype",
                            cli_text(run, "dtype"), "encoder", whet_encoder_fingerprint(encoder),
                            "kernels", whet_kernels_name(run->ctx), "seconds", seconds));
}

whet_status cmd_embed(cli_run *run) {
    struct timespec start;
    whet_table *table = NULL;
    whet_encoder *encoder = NULL;
    int64_t column = 0, truncated = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    whet_status status = whet_table_read(run->ctx, cli_text(run, "input"), &table);
    if (status == WHET_OK)
        status = whet_table_find(run->ctx, table, cli_text(run, "column"), &column);
    if (status == WHET_OK) status = load_encoder(run, &encoder);
    if (status == WHET_OK) status = embed_table(run, encoder, table, column, &truncated);
    if (status == WHET_OK && truncated) warn_of_truncated(run, encoder, table, truncated);
    if (status == WHET_OK) report(run, encoder, whet_table_rows(table), seconds_since(&start));
    whet_encoder_destroy(run->ctx, encoder);
    whet_table_destroy(run->ctx, table);
    return status;
}
