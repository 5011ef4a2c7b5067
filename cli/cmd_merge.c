/* SPDX-License-Identifier: Apache-2.0
 * whet merge: several models into one, by a method or by a recipe. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

const cli_option cmd_merge_options[] = {
    {.name = "method",
     .type = CLI_STRING,
     .value = "METHOD",
     .help = "how models are merged; --methods lists them. Adapters: concat or svd"},
    {.name = "recipe",
     .type = CLI_PATH,
     .value = "R.yml",
     .help = "a recipe in mergekit's YAML instead of a method and models"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "OUT",
     .help = "X.safetensors, or a folder: with config.json and tokenizer of the base or first "
             "model"},
    {.name = "base",
     .type = CLI_PATH,
     .value = "MODEL",
     .help = "the model that the others were made from, where a method needs it"},
    {.name = "weights",
     .type = CLI_LIST,
     .value = "W,W,..",
     .help = "one a model, or one for all; without it 1"},
    {.name = "importance",
     .type = CLI_LIST,
     .value = "F,F,..",
     .help = "for fisher and gradient: one file a model, tensors named as the model's"},
    {.name = "set",
     .type = CLI_LIST,
     .value = "NAME=VALUE",
     .help = "a parameter of the method, for all models; NAME:I=VALUE for model I, from 0. Over "
             "those of a recipe"},
    {.name = "t", .type = CLI_FLOAT, .low = 0, .high = 1e6, .help = "the same as --set t="},
    {.name = "density",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 1,
     .help = "the same as --set density="},
    {.name = "lambda",
     .type = CLI_FLOAT,
     .low = -1e6,
     .high = 1e6,
     .help = "the same as --set lambda="},
    {.name = "dtype",
     .type = CLI_ENUM,
     .choices = "f32|f16|bf16",
     .help = "of the output; without it, as the recipe says, else as the base or first model"},
    {.name = "shard-size",
     .type = CLI_FLOAT,
     .value = "GB",
     .low = 1e-9,
     .high = 1e6,
     .preset = "5",
     .help = "of a folder's files of weights, in 1e9 bytes"},
    {.name = "block",
     .type = CLI_FLOAT,
     .value = "MB",
     .low = 0.001,
     .high = 1e6,
     .preset = "16",
     .help = "of one model's tensor that are held between passes, in 2^20 bytes"},
    {.name = "align",
     .type = CLI_STRING,
     .value = "NAME|S.json",
     .help = "models' hidden units are renumbered to match the base's, or first model's, before "
             "they are merged: auto, an architecture or a specification, as whet align takes it"},
    {.name = "restarts",
     .type = CLI_INT,
     .min = 1,
     .max = 1000,
     .preset = "1",
     .value = "N",
     .help = "of --align: orders of visiting groups that are tried; the best one counts"},
    {.name = "rank",
     .type = CLI_INT,
     .min = 1,
     .max = 65536,
     .help = "of adapters merged by svd; without it, the largest among them"},
    {.name = "dry-run",
     .type = CLI_FLAG,
     .help = "check headers, list what would be written, and what memory it takes"},
    {.name = "methods", .type = CLI_FLAG, .help = "list methods and their parameters"},
    {0},
};

enum { SETTINGS_MAX = 512 };

typedef struct request {
    whet_merge_job job;
    whet_merge_setting settings[SETTINGS_MAX];
    char names[SETTINGS_MAX][32];
    const char *models[CLI_ARGS_MAX], *importance[CLI_ARGS_MAX];
} request;

/* ---- methods ---------------------------------------------------------------------------------- */

static json_t *parameters_json(int64_t i) {
    json_t *list = json_array();
    whet_merge_parameter p;
    for (int64_t j = 0; whet_merge_parameter_get(i, j, &p); j++)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:b, s:b, s:b, s:o, s:f, s:f}", "name", p.name, "summary",
                            p.summary, "per_model", p.per_model, "truth", p.truth, "required",
                            p.required, "default", p.required ? json_null() : json_real(p.preset),
                            "low", p.low, "high", p.high));
    return list;
}

static void print_parameters(cli_run *run, int64_t i) {
    whet_merge_parameter p;
    for (int64_t j = 0; whet_merge_parameter_get(i, j, &p); j++) {
        cli_print(run, "%s%s", j ? ", " : "    ", p.name);
        if (p.required)
            cli_print(run, " (required)");
        else if (p.truth)
            cli_print(run, " (%s)", p.preset != 0 ? "true" : "false");
        else
            cli_print(run, " (%g)", p.preset);
    }
    if (whet_merge_parameter_get(i, 0, &p)) cli_print(run, "\n");
}

static whet_status list_methods(cli_run *run) {
    static const char *const bases[] = {"none", "optional", "required"};
    static const char *const scopes[] = {"element", "row", "tensor"};
    json_t *list = json_array();
    for (int64_t i = 0; i < whet_merge_method_count(); i++) {
        const whet_merge_method *m = whet_merge_method_get(i);
        cli_print(run, "%-16s %s; by %s%s%s\n", m->name, m->summary, scopes[m->scope],
                  m->base == WHET_MERGE_BASE_NONE ? "" : "; base ",
                  m->base == WHET_MERGE_BASE_NONE ? "" : bases[m->base]);
        print_parameters(run, i);
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:b, s:o}", "name", m->name, "summary",
                            m->summary, "least_models", m->least, "most_models", m->most, "base",
                            bases[m->base], "scope", scopes[m->scope], "importance", m->importance,
                            "parameters", parameters_json(i)));
    }
    cli_print(run, "concat, svd      of adapters: exactly their sum; the nearest of a rank\n");
    cli_json(run, json_pack("{s:o}", "methods", list));
    return WHET_OK;
}

/* ---- settings --------------------------------------------------------------------------------- */

static whet_status add(cli_run *run, request *r, const char *name, size_t len, int64_t model,
                       double value) {
    if (r->job.n_settings >= SETTINGS_MAX || len >= sizeof r->names[0])
        return cli_fail(run, WHET_ERR_ARG, "--set %.*s; expected at most %d short names", (int)len,
                        name, SETTINGS_MAX);
    char *copy = r->names[r->job.n_settings];
    memcpy(copy, name, len);
    copy[len] = '\0';
    r->settings[r->job.n_settings++] = (whet_merge_setting){copy, model, value};
    return WHET_OK;
}

static bool number_of(const char *text, double *out) {
    char *end;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        *out = text[0] == 't';
        return true;
    }
    *out = strtod(text, &end);
    return *text && !*end && *out == *out;
}

/* NAME=VALUE or NAME:I=VALUE */
static whet_status parse_set(cli_run *run, request *r, const char *text) {
    const char *equal = strchr(text, '='), *colon = strchr(text, ':');
    double value = 0;
    int64_t model = -1;
    char *end = NULL;
    if (colon && equal && colon < equal) model = strtoll(colon + 1, &end, 10);
    if (!equal || !number_of(equal + 1, &value) ||
        (end && (end != equal || end == colon + 1 || model < 0)))
        return cli_fail(run, WHET_ERR_ARG,
                        "--set is \"%s\"; expected NAME=NUMBER or NAME:MODEL=NUMBER, models from 0",
                        text);
    return add(run, r, text, (size_t)((end ? colon : equal) - text), model, value);
}

static bool takes_weight(const char *method) {
    whet_merge_parameter p;
    for (int64_t i = 0; i < whet_merge_method_count(); i++) {
        if (strcmp(whet_merge_method_get(i)->name, method) != 0) continue;
        for (int64_t j = 0; whet_merge_parameter_get(i, j, &p); j++)
            if (strcmp(p.name, "weight") == 0) return true;
    }
    return false;
}

static whet_status read_weights(cli_run *run, request *r) {
    const int32_t n = cli_list_count(run, "weights");
    double value;
    if (n > 1 && n != r->job.n_models)
        return cli_fail(run, WHET_ERR_ARG,
                        "--weights has %d numbers; expected one, or one for "
                        "each of the %lld models",
                        n, (long long)r->job.n_models);
    if (n == 0 && r->job.method && takes_weight(r->job.method))
        return add(run, r, "weight", 6, -1, 1);
    for (int32_t i = 0; i < n; i++) {
        if (!number_of(cli_list_item(run, "weights", i), &value))
            return cli_fail(run, WHET_ERR_ARG, "--weights has \"%s\"; expected numbers",
                            cli_list_item(run, "weights", i));
        const whet_status status = add(run, r, "weight", 6, n == 1 ? -1 : i, value);
        if (status != WHET_OK) return status;
    }
    return WHET_OK;
}

/* Of what is given twice one would be dropped: what is for all goes before what is for one. */
static whet_status check_once(cli_run *run, const request *r, int64_t first) {
    for (int64_t i = first; i < r->job.n_settings; i++)
        for (int64_t k = first; k < i; k++) {
            const whet_merge_setting *now = &r->settings[i], *before = &r->settings[k];
            if (strcmp(now->name, before->name) == 0 &&
                (now->model == before->model || now->model < 0))
                return cli_fail(run, WHET_ERR_ARG,
                                "\"%s\" is given again; expected it once, or for all models and "
                                "then for some",
                                now->name);
        }
    return WHET_OK;
}

static whet_status read_settings(cli_run *run, request *r) {
    static const char *const same[] = {"t", "density", "lambda"};
    whet_status status = read_weights(run, r);
    const int64_t preset = cli_list_count(run, "weights") ? 0 : r->job.n_settings;
    for (int i = 0; status == WHET_OK && i < 3; i++)
        if (cli_given(run, same[i]))
            status = add(run, r, same[i], strlen(same[i]), -1, cli_number(run, same[i]));
    for (int32_t i = 0; status == WHET_OK && i < cli_list_count(run, "set"); i++)
        status = parse_set(run, r, cli_list_item(run, "set", i));
    return status == WHET_OK ? check_once(run, r, preset) : status;
}

static bool ends_with(const char *text, const char *end) {
    const size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

/* Options that have no meaning where they stand. */
static whet_status check_uses(cli_run *run) {
    static const char *const of_models[] = {"weights", "importance", "base"};
    if (cli_given(run, "rank"))
        return cli_fail(run, WHET_ERR_ARG, "--rank is of adapters; expected --method svd");
    if (!cli_given(run, "align") && cli_given(run, "restarts"))
        return cli_fail(run, WHET_ERR_ARG, "--restarts needs --align");
    for (size_t i = 0; cli_given(run, "recipe") && i < 3; i++)
        if (cli_given(run, of_models[i]))
            return cli_fail(run, WHET_ERR_ARG,
                            "--%s is of models on the command line, and --recipe has its own; "
                            "expected one of them%s",
                            of_models[i], i ? "" : "; try --set weight:I=W");
    if (!cli_text(run, "output"))
        return cli_fail(run, WHET_ERR_ARG,
                        "--output is missing; expected a folder or X.safetensors");
    if (cli_given(run, "shard-size") && ends_with(cli_text(run, "output"), ".safetensors"))
        return cli_fail(run, WHET_ERR_ARG,
                        "--shard-size is of a folder's files, and --output is one file; expected a "
                        "folder");
    return WHET_OK;
}

static whet_status read_request(cli_run *run, request *r) {
    static const whet_dtype dtypes[] = {WHET_F32, WHET_F16, WHET_BF16};
    whet_merge_job *job = &r->job;
    const whet_status used = check_uses(run);
    if (used != WHET_OK) return used;
    *job = (whet_merge_job)WHET_MERGE_JOB_INIT;
    for (int32_t i = 0; i < cli_args(run); i++) r->models[i] = cli_arg(run, i);
    const int32_t n_importance = cli_list_count(run, "importance");
    for (int32_t i = 0; i < n_importance && i < CLI_ARGS_MAX; i++)
        r->importance[i] = cli_list_item(run, "importance", i);
    if (n_importance && n_importance != cli_args(run))
        return cli_fail(run, WHET_ERR_ARG,
                        "--importance names %d files; expected one for each of "
                        "the %d models",
                        n_importance, cli_args(run));
    job->recipe = cli_text(run, "recipe");
    job->method = cli_text(run, "method");
    job->models = r->models;
    job->n_models = cli_args(run);
    job->base = cli_text(run, "base");
    job->importance = n_importance ? r->importance : NULL;
    job->settings = r->settings;
    job->output = cli_text(run, "output");
    job->force = run->force;
    job->dtype_given = cli_given(run, "dtype");
    if (job->dtype_given) job->dtype = dtypes[cli_choice(run, "dtype")];
    job->shard_bytes = (int64_t)(cli_number(run, "shard-size") * 1e9);
    job->block_bytes = (int64_t)(cli_number(run, "block") * 1048576);
    job->seed = run->seed;
    job->align = cli_text(run, "align");
    job->align_restarts = cli_integer(run, "restarts");
    return read_settings(run, r);
}

/* ---- the plan --------------------------------------------------------------------------------- */

static json_t *shape_json(const whet_merge_planned *p) {
    json_t *shape = json_array();
    for (int32_t d = 0; d < p->rank; d++)
        (void)json_array_append_new(shape, json_integer(p->shape[d]));
    return shape;
}

static json_t *tensors_json(const whet_merge_plan *plan) {
    json_t *list = json_array();
    whet_merge_planned p;
    for (int64_t i = 0; i < whet_merge_plan_count(plan); i++) {
        whet_merge_plan_get(plan, i, &p);
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:b}", "name", p.name, "file", p.file,
                            "dtype", whet_dtype_name(p.dtype), "shape", shape_json(&p), "bytes",
                            (json_int_t)p.bytes, "read_bytes", (json_int_t)p.read_bytes, "copied",
                            p.copied));
    }
    return list;
}

static void print_plan(cli_run *run, const whet_merge_plan *plan) {
    whet_merge_planned p;
    for (int64_t i = 0; i < whet_merge_plan_count(plan); i++) {
        char shape[160] = "";
        size_t used = 0;
        whet_merge_plan_get(plan, i, &p);
        for (int32_t d = 0; d < p.rank && used < sizeof shape - 24; d++)
            used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%lld", d ? "x" : "",
                                     (long long)p.shape[d]);
        cli_print(run, "%14lld  %-5s %-18s %s%s\n", (long long)p.bytes, whet_dtype_name(p.dtype),
                  shape, p.name, p.copied ? " (copied)" : "");
    }
}

/* What alignment did; NULL where nothing was aligned. */
static json_t *report_aligned(cli_run *run, const whet_merge_plan *plan) {
    whet_merge_aligned a;
    json_t *list = NULL;
    for (int64_t i = 0; whet_merge_plan_aligned(plan, i, &a); i++) {
        cli_print(
            run, "%s: %lld of %lld units renumbered to %s; squared distance %.6g, before %.6g\n",
            a.model, (long long)a.moved, (long long)a.units, a.to, a.distance, a.distance_before);
        if (!list) list = json_array();
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "model", a.model, "to", a.to, "units",
                            (json_int_t)a.units, "moved", (json_int_t)a.moved, "distance",
                            cli_json_number(a.distance), "distance_before",
                            cli_json_number(a.distance_before)));
    }
    return list;
}

static void report(cli_run *run, const whet_merge_plan *plan, bool dry, int64_t resumed) {
    whet_merge_totals t;
    whet_merge_plan_totals(plan, &t);
    if (dry) print_plan(run, plan);
    cli_print(run, "%s: %s%lld tensors, %.3f GB, in %lld file%s, by %s of %lld models\n",
              cli_text(run, "output"), dry ? "would have " : "", (long long)t.tensors,
              (double)t.bytes * 1e-9, (long long)t.files, t.files == 1 ? "" : "s", t.method,
              (long long)t.models);
    if (dry)
        cli_print(run,
                  "reads %.3f GB; a row block is %.1f MB; memory at most %.1f MB and the "
                  "headers\n",
                  (double)t.read_bytes * 1e-9, (double)t.block_bytes / 1048576,
                  (double)t.memory_bytes / 1048576);
    if (resumed) cli_print(run, "%lld tensors were there from before\n", (long long)resumed);
    json_t *document = json_pack(
        "{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "output",
        cli_text(run, "output"), "method", t.method, "dry_run", dry, "tensors",
        (json_int_t)t.tensors, "numbers", (json_int_t)t.numbers, "bytes", (json_int_t)t.bytes,
        "read_bytes", (json_int_t)t.read_bytes, "files", (json_int_t)t.files, "models",
        (json_int_t)t.models, "block_bytes", (json_int_t)t.block_bytes, "memory_bytes",
        (json_int_t)t.memory_bytes, "resumed", (json_int_t)resumed);
    if (dry) (void)json_object_set_new(document, "plan", tensors_json(plan));
    json_t *aligned = report_aligned(run, plan);
    if (aligned) (void)json_object_set_new(document, "aligned", aligned);
    cli_json(run, document);
}

static whet_status merge_models(cli_run *run, const request *r) {
    whet_merge_plan *plan = NULL;
    int64_t resumed = 0;
    const bool dry = cli_flag(run, "dry-run");
    whet_status status = whet_merge_plan_create(run->ctx, &r->job, &plan);
    if (status == WHET_OK && !dry) status = whet_merge_plan_run(run->ctx, plan, &resumed);
    if (status == WHET_OK) report(run, plan, dry, resumed);
    whet_merge_plan_destroy(run->ctx, plan);
    return status;
}

/* ---- adapters --------------------------------------------------------------------------------- */

static whet_status merge_adapters(cli_run *run, bool svd) {
    whet_merge_adapters_job job = WHET_MERGE_ADAPTERS_JOB_INIT;
    whet_merge_adapters_summary summary;
    static const char *const others[] = {"base",    "importance", "set",        "t",     "density",
                                         "lambda",  "dtype",      "shard-size", "block", "recipe",
                                         "dry-run", "align",      "restarts"};
    const char *folders[CLI_ARGS_MAX];
    double weights[CLI_ARGS_MAX];
    const int32_t n = cli_args(run), n_weights = cli_list_count(run, "weights");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (cli_given(run, others[i]))
            return cli_fail(run, WHET_ERR_ARG,
                            "--%s has no meaning with adapters; expected "
                            "--weights, --rank and folders",
                            others[i]);
    if (!cli_text(run, "output"))
        return cli_fail(run, WHET_ERR_ARG, "--output is missing; expected a folder");
    if (n_weights > 1 && n_weights != n)
        return cli_fail(run, WHET_ERR_ARG,
                        "--weights has %d numbers; expected one, or one for "
                        "each of the %d adapters",
                        n_weights, n);
    for (int32_t i = 0; i < n; i++) {
        folders[i] = cli_arg(run, i);
        weights[i] = 1;
        if (n_weights &&
            !number_of(cli_list_item(run, "weights", n_weights > 1 ? i : 0), &weights[i]))
            return cli_fail(run, WHET_ERR_ARG, "--weights has \"%s\"; expected numbers",
                            cli_list_item(run, "weights", n_weights > 1 ? i : 0));
    }
    job.adapters = folders;
    job.weights = weights;
    job.n = n;
    job.svd = svd;
    job.rank = cli_integer(run, "rank");
    job.output = cli_text(run, "output");
    job.force = run->force;
    const whet_status status = whet_merge_adapters(run->ctx, &job, &summary);
    if (status != WHET_OK) return status;
    cli_print(run, "%s: %lld layers of rank %lld, from %d adapters\n", job.output,
              (long long)summary.layers, (long long)summary.rank, n);
    if (svd) cli_print(run, "at most %.3g of a layer's norm was cut\n", summary.lost);
    cli_json(run, json_pack("{s:s, s:I, s:I, s:i, s:f}", "output", job.output, "layers",
                            (json_int_t)summary.layers, "rank", (json_int_t)summary.rank,
                            "adapters", n, "lost", summary.lost));
    return WHET_OK;
}

whet_status cmd_merge(cli_run *run) {
    const char *method = cli_text(run, "method");
    if (cli_flag(run, "methods"))
        return cli_args(run) || method || cli_given(run, "recipe") || cli_given(run, "output")
                   ? cli_fail(run, WHET_ERR_ARG,
                              "--methods lists, and merges nothing; expected it alone")
                   : list_methods(run);
    if (method && (strcmp(method, "concat") == 0 || strcmp(method, "svd") == 0))
        return merge_adapters(run, method[0] == 's');
    request *r = calloc(1, sizeof *r);
    if (!r) return cli_fail(run, WHET_ERR_NOMEM, "out of memory");
    whet_status status = read_request(run, r);
    if (status == WHET_OK) status = merge_models(run, r);
    free(r);
    return status;
}
