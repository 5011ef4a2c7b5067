/* SPDX-License-Identifier: Apache-2.0
 * whet generate: a language model goes on with a text, or with a column of texts. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

const cli_option cmd_generate_options[] = {
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "language model, a Hugging Face folder (Llama, Mistral, Qwen2)"},
    {.name = "prompt",
     .type = CLI_STRING,
     .value = "TEXT",
     .help = "text to go on with; without it, the model begins"},
    {.name = "input", .type = CLI_PATH, .help = "table of texts instead"},
    {.name = "column", .type = CLI_STRING, .value = "COL", .preset = "text", .help = "its column"},
    {.name = "output",
     .type = CLI_OUTPUT,
     .value = "T.tsv",
     .help = "table of row and text to write, with --input"},
    {.name = "tokens",
     .type = CLI_INT,
     .min = 1,
     .max = 1 << 24,
     .preset = "128",
     .help = "new tokens at most"},
    {.name = "temperature",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 1000,
     .preset = "0",
     .help = "0: always the most likely token; higher: more of the others"},
    {.name = "top-k",
     .type = CLI_INT,
     .min = 0,
     .max = INT32_MAX,
     .preset = "0",
     .help = "draw from the so many most likely tokens; 0 = all"},
    {.name = "top-p",
     .type = CLI_FLOAT,
     .low = 1e-9,
     .high = 1,
     .preset = "1",
     .help = "draw from the most likely tokens that have this share together"},
    {.name = "no-stop", .type = CLI_FLAG, .help = "go on behind the token that ends a text"},
    {.name = "dtype",
     .type = CLI_ENUM,
     .choices = "f32|bf16",
     .preset = "f32",
     .help = "weights and products"},
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

static whet_generate_opts opts_of(const cli_run *run) {
    whet_generate_opts opts = WHET_GENERATE_OPTS_INIT;
    opts.max_tokens = cli_integer(run, "tokens");
    opts.temperature = cli_number(run, "temperature");
    opts.top_k = cli_integer(run, "top-k");
    opts.top_p = cli_number(run, "top-p");
    opts.no_stop = cli_flag(run, "no-stop");
    opts.seed = run->seed;
    return opts;
}

/* The whole text of a row, prompt and what was made of it: decoded together, as tokens may share a
 * character. */
static whet_status text_of(cli_run *run, const whet_language_model *model,
                           const whet_token_rows *prompts, const whet_token_rows *made, int64_t row,
                           char **text, int64_t *len) {
    const int64_t a = prompts->start[row + 1] - prompts->start[row];
    const int64_t b = made->start[row + 1] - made->start[row];
    int32_t *ids = malloc((size_t)(a + b + 1) * sizeof *ids);
    if (!ids)
        return cli_fail(run, WHET_ERR_NOMEM, "out of memory: the tokens of row %lld",
                        (long long)row);
    memcpy(ids, prompts->ids + prompts->start[row], (size_t)a * sizeof *ids);
    memcpy(ids + a, made->ids + made->start[row], (size_t)b * sizeof *ids);
    const whet_status status = whet_tokenizer_decode(run->ctx, whet_language_model_tokenizer(model),
                                                     ids, a + b, true, text, len);
    free(ids);
    return status;
}

static json_t *row_object(int64_t row, const char *text, int64_t len, int64_t tokens) {
    return json_pack("{s:I, s:s%, s:I}", "row", (json_int_t)row, "text", text, (size_t)len,
                     "new_tokens", (json_int_t)tokens);
}

/* TSV has no quoting: what would end a cell or a row becomes a space. */
static void flatten(char *text, int64_t len) {
    for (int64_t i = 0; i < len; i++)
        if (text[i] == '\t' || text[i] == '\n' || text[i] == '\r') text[i] = ' ';
}

static whet_status print_rows(cli_run *run, const whet_language_model *model,
                              const whet_token_rows *prompts, const whet_token_rows *made,
                              whet_out *out) {
    json_t *rows = json_array();
    whet_status status = out ? whet_out_printf(run->ctx, out, "row\ttext\n") : WHET_OK;
    for (int64_t i = 0; status == WHET_OK && i < prompts->n_rows; i++) {
        char *text = NULL;
        int64_t len = 0;
        status = text_of(run, model, prompts, made, i, &text, &len);
        if (status != WHET_OK) break;
        (void)json_array_append_new(rows,
                                    row_object(i, text, len, made->start[i + 1] - made->start[i]));
        if (out) {
            flatten(text, len);
            status = whet_out_printf(run->ctx, out, "%lld\t%s\n", (long long)i, text);
        } else {
            cli_print(run, "%s\n", text);
        }
        whet_free_text(run->ctx, text);
    }
    if (status == WHET_OK) cli_json(run, json_pack("{s:O}", "rows", rows));
    json_decref(rows);
    return status;
}

static whet_status generate(cli_run *run, const whet_language_model *model, const whet_str *texts,
                            int64_t n) {
    const whet_generate_opts opts = opts_of(run);
    const char *output = cli_text(run, "output");
    whet_token_rows prompts = {0}, made = {0};
    whet_out *out = NULL;
    whet_status status = WHET_OK;
    if (output) status = whet_out_open(run->ctx, output, run->force, &out);
    if (status == WHET_OK)
        status = whet_tokenizer_encode(run->ctx, whet_language_model_tokenizer(model), texts, n, 0,
                                       &prompts);
    if (status == WHET_OK) status = whet_generate(run->ctx, model, &prompts, &opts, &made);
    if (status == WHET_OK) status = print_rows(run, model, &prompts, &made, out);
    if (status == WHET_OK && out) {
        status = whet_out_commit(run->ctx, out);
        out = NULL;
        if (status == WHET_OK) cli_print(run, "%lld texts: %s\n", (long long)n, output);
    }
    whet_out_abort(run->ctx, out);
    whet_token_rows_destroy(run->ctx, &made);
    whet_token_rows_destroy(run->ctx, &prompts);
    return status;
}

static whet_status generate_table(cli_run *run, const whet_language_model *model,
                                  const whet_table *table, int64_t column) {
    const int64_t n = whet_table_rows(table);
    whet_str *texts = malloc((size_t)(n + 1) * sizeof *texts);
    if (!texts) return cli_fail(run, WHET_ERR_NOMEM, "out of memory: %lld texts", (long long)n);
    for (int64_t i = 0; i < n; i++) texts[i] = whet_table_cell(table, i, column);
    const whet_status status = generate(run, model, texts, n);
    free(texts);
    return status;
}

static whet_status load_model(cli_run *run, whet_language_model **out) {
    const char *dir = cli_text(run, "model");
    const whet_dtype dtype = cli_choice(run, "dtype") == 1 ? WHET_BF16 : WHET_F32;
    if (cli_list_count(run, "adapter") == 0 && cli_flag(run, "any-base"))
        return cli_fail(run, WHET_ERR_ARG, "--any-base is of adapters; expected --adapter");
    if (cli_list_count(run, "adapter") == 0 && cli_given(run, "heads-of"))
        return cli_fail(run, WHET_ERR_ARG, "--heads-of is of adapters; expected --adapter");
    if (cli_list_count(run, "adapter") == 0)
        return whet_language_model_load(run->ctx, dir, dtype, out);
    cli_weighted w = {0};
    whet_status status = cli_weighted_read(run, &w);
    if (status == WHET_OK) {
        const whet_adapter_use use = cli_weighted_use(run, &w);
        status = whet_language_model_load_adapted(run->ctx, dir, dtype, &use, out);
    }
    cli_weighted_free(&w);
    return status;
}

whet_status cmd_generate(cli_run *run) {
    const char *prompt = cli_text(run, "prompt"), *input = cli_text(run, "input");
    static const char *const drawn[] = {"top-k", "top-p"};
    whet_language_model *model = NULL;
    whet_table *table = NULL;
    int64_t column = 0;
    if (prompt && input)
        return cli_fail(run, WHET_ERR_ARG,
                        "--prompt and --input are both given; expected one of them");
    if (cli_given(run, "output") && !input)
        return cli_fail(run, WHET_ERR_ARG, "--output is a table of many texts; expected --input");
    for (int i = 0; i < 2 && !cli_given(run, "temperature"); i++)
        if (cli_given(run, drawn[i]))
            return cli_fail(run, WHET_ERR_ARG,
                            "--%s is of drawn tokens, and the most likely ones are taken; expected "
                            "--temperature as well",
                            drawn[i]);
    whet_status status = WHET_OK;
    if (input) status = whet_table_read(run->ctx, input, &table);
    if (status == WHET_OK && input)
        status = whet_table_find(run->ctx, table, cli_text(run, "column"), &column);
    if (status == WHET_OK) status = load_model(run, &model);
    const whet_str text = whet_str_from(prompt ? prompt : "");
    if (status == WHET_OK)
        status = input ? generate_table(run, model, table, column) : generate(run, model, &text, 1);
    whet_language_model_destroy(run->ctx, model);
    whet_table_destroy(run->ctx, table);
    return status;
}
