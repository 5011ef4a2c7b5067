/* SPDX-License-Identifier: Apache-2.0
 * What of a recorded model is trained: what is new, the head, modules to be saved, and of the model's own
 * weights those that the kind of adapter and the targets take. */
#include <stdio.h>

#include "tune/tune_i.h"

enum { NAME_SIZE = 512 };

/* The module of a parameter: its name up to the last point. */
static void module_of(const whet_i_param *p, char module[NAME_SIZE]) {
    (void)snprintf(module, NAME_SIZE, "%s", p->name);
    char *end = strrchr(module, '.');
    if (end) *end = '\0';
}

static bool is_saved(const whet_i_tune *run, const whet_i_param *p) {
    char module[NAME_SIZE];
    module_of(p, module);
    return whet_i_modules_hold(&run->config, &run->config.saved, module);
}

bool whet_i_tune_is_of_adapter(const whet_i_tune *run, const whet_i_param *p) {
    return run->adapter->trains && p->source.data && !is_saved(run, p) &&
           !whet_i_backbone_is_head(&run->backbone, p->name);
}

/* A linear layer before the heads: the word vectors are multiplied by where they are the head. */
static bool is_linear(const whet_i_tune *run, const char *module) {
    const whet_i_params *params = run->params;
    if (whet_i_backbone_is_head(&run->backbone, module) || strcmp(module, "lm_head") == 0 ||
        strcmp(module, "model.embed_tokens") == 0)
        return false;
    for (int64_t i = 0; i < params->n_weights; i++)
        for (int32_t part = 0; part < params->weights[i].parts; part++) {
            char name[NAME_SIZE];
            module_of(&params->items[params->weights[i].first + part], name);
            if (strcmp(name, module) == 0) return true;
        }
    return false;
}

static bool is_trained(const whet_i_tune *run, const whet_i_param *p) {
    char module[NAME_SIZE];
    if (!p->source.data || whet_i_backbone_is_head(&run->backbone, p->name) || is_saved(run, p))
        return true; /* new, or the head */
    if (!run->adapter->trains || !run->adapter->trains(run->params, p)) return false;
    module_of(p, module);
    return whet_i_adapter_config_takes(&run->config, module, is_linear(run, module));
}

/* What the base lacks beside head and adapters, such as a pooler, is saved whole, and named so. */
static whet_status save_new(whet_ctx *ctx, whet_i_tune *run) {
    for (int64_t i = 0; i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        char module[NAME_SIZE];
        module_of(p, module);
        if (p->source.data || whet_i_tune_is_adapter(p->name) ||
            whet_i_backbone_is_head(&run->backbone, p->name) || is_saved(run, p))
            continue;
        WHET_TRY(whet_i_modules_add(ctx, &run->config, &run->config.saved, whet_str_from(module)));
    }
    return WHET_OK;
}

bool whet_i_tune_shares_words(const whet_i_tune *run) {
    const bool next = run->backbone.causal && !whet_i_tune_has_head(run) && !run->kind->embeds;
    const whet_i_param_id id = whet_i_params_find(run->params, "model.embed_tokens.weight");
    return next && run->backbone.llama.tied && id >= 0 && run->params->items[id].trainable &&
           run->adapter->peft_type;
}

/* A head that is the word vectors goes with them: PEFT is told of both. */
static whet_status save_tied(whet_ctx *ctx, whet_i_tune *run) {
    static const char head[] = "lm_head";
    whet_i_adapter_config *c = &run->config;
    if (!whet_i_tune_shares_words(run) || whet_i_modules_has(c, &c->saved, head)) return WHET_OK;
    return whet_i_modules_add(ctx, c, &c->saved, whet_str_from(head));
}

/* The last one and two parts of the names of linear layers. */
static whet_status layer_names(whet_ctx *ctx, const whet_i_tune *run, whet_names *names) {
    for (int64_t i = 0; i < run->params->n_weights; i++)
        for (int32_t part = 0; part < run->params->weights[i].parts; part++) {
            char module[NAME_SIZE];
            module_of(&run->params->items[run->params->weights[i].first + part], module);
            if (whet_i_backbone_is_head(&run->backbone, module)) continue;
            const char *last = strrchr(module, '.'), *at = last;
            WHET_TRY(whet_names_add(ctx, names, whet_str_from(last ? last + 1 : module), NULL));
            while (at && at > module && at[-1] != '.') at--;
            if (at) WHET_TRY(whet_names_add(ctx, names, whet_str_from(at), NULL));
        }
    return WHET_OK;
}

/* What the targets come to, before and behind all that leaves modules out. */
typedef struct reach {
    bool there, kept; /* beside the head's */
    bool head;
} reach;

static void reach_module(const whet_i_tune *run, const whet_i_param *p, reach *r) {
    char module[NAME_SIZE];
    module_of(p, module);
    if (!whet_i_modules_has(&run->config, &run->config.targets, module)) return;
    if (whet_i_backbone_is_head(&run->backbone, p->name)) {
        r->head = true;
        return;
    }
    r->there = true;
    r->kept = r->kept || whet_i_adapter_config_has(&run->config, module);
}

/* Of linear layers, which may have adapters, or of all modules. */
static reach reach_of(const whet_i_tune *run) {
    const whet_i_params *params = run->params;
    reach r = {0};
    for (int64_t i = 0; run->adapter->adapts && i < params->n_weights; i++)
        for (int32_t part = 0; part < params->weights[i].parts; part++)
            reach_module(run, &params->items[params->weights[i].first + part], &r);
    for (int64_t i = 0; !run->adapter->adapts && i < params->n; i++)
        reach_module(run, &params->items[i], &r);
    return r;
}

/* The model has modules of these names, and something else leaves all of them out. */
static whet_status left_out(whet_ctx *ctx, const whet_i_tune *run, const char *targets) {
    const whet_i_adapter_config *c = &run->config;
    const bool excluded = c->excluded.n > 0 || c->excluded.pattern || c->excluded.all_linear,
               saved = run->job.save_modules != NULL;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "%s are there, and all of them are left out by%s%s%s%s%s; expected one to "
                       "be left in",
                       targets, c->layers ? " the layers asked for" : "",
                       c->layers && (excluded || saved) ? "," : "", excluded ? " exclusions" : "",
                       excluded && saved ? "," : "", saved ? " modules that are saved whole" : "");
}

static whet_status of_a_head(whet_ctx *ctx, const whet_i_tune *run, const char *targets) {
    if (!run->adapter->adapts)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s are of the head, which is trained whatever the targets; expected "
                           "layers before it",
                           targets);
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "%s are layers of a head, which have no adapters here; expected layers "
                       "before it; try --save-modules, which trains them whole",
                       targets);
}

/* The last part of the name of the first module that is not of the head and has such a parameter: one that
 * the kind of adapter trains; a matrix; a norm. */
typedef enum sample { OF_KIND, A_MATRIX, A_NORM } sample;

static const char *sample_of(const whet_i_tune *run, sample which, char module[NAME_SIZE]) {
    for (int64_t i = 0; i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        const bool fits = which == OF_KIND ? run->adapter->trains(run->params, p)
                                           : p->rank == (which == A_MATRIX ? 2 : 1) &&
                                                 whet_i_ends_with(p->name, ".weight");
        if (!fits || !p->source.data || whet_i_backbone_is_head(&run->backbone, p->name)) continue;
        module_of(p, module);
        const char *last = strrchr(module, '.');
        return last ? last + 1 : module;
    }
    return NULL;
}

static whet_status not_of_kind(whet_ctx *ctx, const whet_i_tune *run, const char *targets) {
    char module[NAME_SIZE];
    const char *such = sample_of(run, OF_KIND, module);
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "%s have nothing that adapter %s trains; expected modules that have%s%s",
                       targets, run->adapter->name, such ? ", such as " : "", such ? such : "");
}

static whet_status no_match(whet_ctx *ctx, const whet_i_tune *run) {
    char quoted[WHET_QUOTE_SIZE], near[WHET_QUOTE_SIZE + 32] = "", words[WHET_QUOTE_SIZE + 32];
    const char *const *layers = run->backbone.layers;
    const whet_i_modules *targets = &run->config.targets;
    const reach r = reach_of(run);
    whet_names *names;
    (void)snprintf(words, sizeof words, "%s%s", run->job.targets ? "targets " : "",
                   run->job.targets ? whet_i_quote(quoted, whet_str_from(run->job.targets))
                                    : "the targets by default");
    /* Poolers are linear layers, too, and are not hooked. */
    if ((!r.there && r.head) || (r.kept && run->adapter->adapts)) return of_a_head(ctx, run, words);
    if (!run->job.targets && run->config.layers && run->config.excluded.n == 0)
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "no layer has a number of \"%s\"; expected numbers of layers of the model",
            run->job.layers);
    if (r.there && !r.kept) return left_out(ctx, run, words);
    if (r.kept && run->adapter->trains) return not_of_kind(ctx, run, words);
    WHET_TRY(whet_names_create(ctx, &names));
    const whet_status status = layer_names(ctx, run, names);
    int64_t nearest = -1;
    for (int64_t i = 0; i < targets->n && nearest < 0; i++)
        nearest = whet_i_nearest_name(names, targets->ends[i]);
    if (nearest >= 0)
        (void)snprintf(near, sizeof near, " (did you mean %s?)",
                       whet_i_quote(quoted, whet_names_get(names, nearest)));
    whet_names_destroy(ctx, names);
    WHET_TRY(status);
    return whet_i_fail(
        ctx, WHET_ERR_ARG, "%s match no layer%s; expected names such as %s, %s, %s, %s, %s or %s",
        words, near, layers[0], layers[1], layers[2], layers[3], layers[4], layers[5]);
}

static whet_status nothing_trained(whet_ctx *ctx, const whet_i_tune *run) {
    if (run->job.targets || run->adapter->adapts) return no_match(ctx, run);
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "adapter %s finds nothing to train in a model of type %s; expected another "
                       "adapter, or no exclusions",
                       run->adapter->name, run->backbone.model_type);
}

/* Whether the layer got an adapter. */
static bool has_adapter(const whet_i_tune *run, const char *module) {
    char name[NAME_SIZE + 32];
    (void)snprintf(name, sizeof name, "%s.%s", module, whet_i_adapter_factor(run->config.kind, 0));
    return whet_i_params_find(run->params, name) >= 0;
}

static void clear_modules(whet_ctx *ctx, whet_i_modules *set) {
    whet_i_pattern_free(ctx, set->pattern);
    whet_i_free(ctx, set->ends);
    *set = (whet_i_modules){0};
}

/* What a folder of weights of the model itself says it has: the last parts of their modules' names, or, where
 * layers were asked for in words or by number, which such folders of PEFT do not know, the names. */
static whet_status name_targets(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_adapter_config *c = &run->config;
    const bool whole = run->job.targets || c->layers || c->excluded.n > 0 || c->excluded.pattern ||
                       c->excluded.all_linear;
    clear_modules(ctx, &c->targets);
    clear_modules(ctx, &c->excluded);
    for (int64_t i = 0; i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        char module[NAME_SIZE];
        if (!p->trainable || !whet_i_tune_is_of_adapter(run, p)) continue;
        module_of(p, module);
        const char *last = whole ? NULL : strrchr(module, '.');
        if (!whet_i_modules_has(c, &c->targets, module))
            WHET_TRY(
                whet_i_modules_add(ctx, c, &c->targets, whet_str_from(last ? last + 1 : module)));
    }
    return WHET_OK;
}

/* ---- what a folder says, for PEFT --------------------------------------------------------------- */

/* Calls `add` with each linear layer that has an adapter. */
static whet_status each_adapted(whet_ctx *ctx, whet_i_tune *run,
                                whet_status (*add)(whet_ctx *ctx, whet_i_tune *run,
                                                   const char *module, void *to),
                                void *to) {
    const whet_i_params *params = run->params;
    for (int64_t i = 0; i < params->n_weights; i++)
        for (int32_t part = 0; part < params->weights[i].parts; part++) {
            char module[NAME_SIZE];
            module_of(&params->items[params->weights[i].first + part], module);
            if (has_adapter(run, module)) WHET_TRY(add(ctx, run, module, to));
        }
    return WHET_OK;
}

static whet_status add_name(whet_ctx *ctx, whet_i_tune *run, const char *module, void *to) {
    return whet_i_modules_add(ctx, &run->config, to, whet_str_from(module));
}

/* The names of all layers that have an adapter, in place of targets, exclusions and numbers of layers. */
static whet_status spell_targets(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_adapter_config *c = &run->config;
    whet_i_modules names = {0};
    const whet_status status = each_adapted(ctx, run, add_name, &names);
    if (status != WHET_OK) {
        whet_i_free(ctx, names.ends);
        return status;
    }
    clear_modules(ctx, &c->targets);
    clear_modules(ctx, &c->excluded);
    whet_i_free(ctx, c->layers);
    c->targets = names;
    c->layers = NULL;
    c->n_layers = 0;
    return WHET_OK;
}

/* Whether a module, which has no adapter, is one of the targets all the same: PEFT would give it one, or
 * refuse the folder. */
static bool is_strange(const whet_i_tune *run, const char *module) {
    return whet_i_adapter_config_has(&run->config, module) && !has_adapter(run, module);
}

/* Of this name, and of all that it is part of: "attention" is a module of PEFT's, too. */
static bool is_strange_below(const whet_i_tune *run, const char *tensor) {
    char module[NAME_SIZE], *end;
    (void)snprintf(module, sizeof module, "%s", tensor);
    while ((end = strrchr(module, '.'))) {
        *end = '\0';
        if (is_strange(run, module)) return true;
    }
    return false;
}

/* Whether the targets take something that this model, or what of its folder is not run here, has beside the
 * layers with adapters. */
static bool takes_others(const whet_i_tune *run) {
    const whet_i_weight_files *files = &run->backbone.files;
    for (int64_t i = 0; i < run->params->n; i++)
        if (!whet_i_tune_is_adapter(run->params->items[i].name) &&
            is_strange_below(run, run->params->items[i].name))
            return true;
    for (int64_t f = 0; f < files->n; f++)
        for (int64_t i = 0; i < whet_safetensors_count(files->items[f].tensors); i++) {
            const char *name = whet_safetensors_name(files->items[f].tensors, i).ptr;
            char prefixed[NAME_SIZE];
            (void)snprintf(prefixed, sizeof prefixed, "%s%s", run->backbone.prefix, name);
            if (!is_strange_below(run, name)) continue;
            /* the same with the prefix that the recording's names have, or lack */
            const size_t skip = strlen(run->backbone.prefix);
            const bool begins = strncmp(name, run->backbone.prefix, skip) == 0;
            if (is_strange_below(run, begins ? name + skip : prefixed)) return true;
        }
    return false;
}

/* ---- modules to save ---- PEFT's modules_to_save are bare ends of names, whatever stands before: "norm" is
 * "input_layernorm" as well, and "embeddings" each of its own word_embeddings. */

/* The next module that tensor `name` is part of, the outermost first, behind *at; false behind the last. */
static bool next_module(const char *name, int64_t *at, char module[NAME_SIZE]) {
    const char *end = *at < (int64_t)strlen(name) ? strchr(name + *at, '.') : NULL;
    if (!end || end - name >= NAME_SIZE) return false;
    (void)snprintf(module, NAME_SIZE, "%.*s", (int)(end - name), name);
    *at = end - name + 1;
    return true;
}

/* Whether no module's name but its own ends so. */
static bool ends_one(const whet_i_tune *run, const char *module) {
    for (int64_t i = 0; i < run->params->n; i++) {
        char other[NAME_SIZE];
        for (int64_t at = 0; next_module(run->params->items[i].name, &at, other);)
            if (strcmp(other, module) != 0 && whet_i_ends_with(other, module)) return false;
    }
    return true;
}

/* The names of the outermost modules that are saved, or of their parts, where they are ends of others. */
static whet_status spell_saved(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_adapter_config *c = &run->config;
    whet_i_modules names = {0};
    whet_status status = WHET_OK;
    for (int64_t i = 0; i < run->params->n && status == WHET_OK; i++) {
        const char *name = run->params->items[i].name;
        char module[NAME_SIZE], kept[NAME_SIZE] = "";
        if (whet_i_tune_is_adapter(name)) continue;
        for (int64_t at = 0; next_module(name, &at, module);) {
            if (!whet_i_modules_hold(c, &c->saved, module)) continue;
            (void)snprintf(kept, sizeof kept, "%s", module);
            if (ends_one(run, module)) break;
        }
        if (kept[0] && !whet_i_modules_hold(c, &names, kept))
            status = whet_i_modules_add(ctx, c, &names, whet_str_from(kept));
    }
    if (status != WHET_OK) {
        whet_i_free(ctx, names.ends);
        return status;
    }
    clear_modules(ctx, &c->saved);
    c->saved = names;
    return WHET_OK;
}

/* Values of one kind by layer, in place of patterns that Python reads otherwise. */
typedef struct spelling {
    const whet_i_module_values *from;
    whet_i_module_values to;
} spelling;

static whet_status add_value(whet_ctx *ctx, whet_i_tune *run, const char *module, void *to) {
    spelling *s = to;
    double value;
    if (!whet_i_module_values_find(&run->config, s->from, module, &value)) return WHET_OK;
    return whet_i_module_values_add(ctx, &run->config, &s->to, "targets", whet_str_from(module),
                                    value);
}

static whet_status spell_values(whet_ctx *ctx, whet_i_tune *run, whet_i_module_values *values) {
    spelling s = {.from = values};
    bool same = true;
    for (int64_t i = 0; i < values->n && same; i++)
        WHET_TRY(whet_i_pattern_is_python(ctx, values->items[i].key, true, &same));
    if (same) return WHET_OK;
    const whet_status status = each_adapted(ctx, run, add_value, &s);
    whet_i_module_values_free(ctx, status == WHET_OK ? values : &s.to);
    if (status == WHET_OK) *values = s.to;
    return status;
}

/* PEFT reads patterns as Python does, asks them of all modules, whether they are layers or not, and knows
 * numbers of layers beside a list of names only: where that makes a difference, names say it. */
static whet_status settle_folder(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_adapter_config *c = &run->config;
    const bool numbered = (c->targets.all_linear || c->targets.pattern) && c->layers;
    if (run->start) return numbered ? spell_targets(ctx, run) : WHET_OK;
    WHET_TRY(spell_values(ctx, run, &c->ranks));
    WHET_TRY(spell_values(ctx, run, &c->alphas));
    WHET_TRY(spell_values(ctx, run, &c->block_counts));
    const bool pattern = c->targets.pattern || c->excluded.pattern;
    const bool others = !c->targets.all_linear && takes_others(run);
    return numbered || pattern || others ? spell_targets(ctx, run) : WHET_OK;
}

/* ---- what is most likely misspelt --------------------------------------------------------------- */

/* Whether a module of the model is in the set; or, set NULL, whether the pattern fits one. */
static bool names_any(const whet_i_tune *run, const whet_i_modules *set,
                      const whet_i_pattern *pattern) {
    for (int64_t i = 0; i < run->params->n; i++) {
        char module[NAME_SIZE];
        module_of(&run->params->items[i], module);
        if (set ? whet_i_modules_hold(&run->config, set, module)
                : whet_i_pattern_find(pattern, run->config.state, whet_str_from(module)) == 1)
            return true;
    }
    return false;
}

static void warn(whet_ctx *ctx, const char *what, whet_str name) {
    char quoted[WHET_QUOTE_SIZE];
    whet_i_log(ctx, WHET_LOG_WARN, "%s: %s is the name of no layer", what,
               whet_i_quote(quoted, name));
}

/* The first n names of a set, and its pattern. */
static void warn_of_names(whet_ctx *ctx, const whet_i_tune *run, const char *what,
                          const whet_i_modules *set, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const whet_i_modules one = {.ends = &set->ends[i], .n = 1};
        if (!names_any(run, &one, NULL)) warn(ctx, what, set->ends[i]);
    }
    if (set->pattern && !names_any(run, NULL, set->pattern)) warn(ctx, what, set->regex);
}

static void warn_of_values(whet_ctx *ctx, const whet_i_tune *run, const char *what,
                           const whet_i_module_values *values) {
    for (int64_t i = 0; i < values->n; i++)
        if (!names_any(run, NULL, values->items[i].pattern)) warn(ctx, what, values->items[i].key);
}

/* A folder that says it has modules which it lacks is no folder of PEFT's. */
static whet_status check_saved(whet_ctx *ctx, const whet_i_tune *run) {
    const whet_i_modules *set = &run->config.saved;
    char quoted[WHET_QUOTE_SIZE], matrix[NAME_SIZE], norm[NAME_SIZE];
    for (int64_t i = 0; i < run->n_saved && !run->start; i++) {
        const whet_i_modules one = {.ends = &set->ends[i], .n = 1};
        const char *first = sample_of(run, A_MATRIX, matrix),
                   *second = sample_of(run, A_NORM, norm);
        if (!names_any(run, &one, NULL))
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "modules to save: %s is the name of no layer; expected an end of "
                               "one's name, such as %s or %s",
                               whet_i_quote(quoted, set->ends[i]), first ? first : "the head's",
                               second ? second : "a norm's");
    }
    return WHET_OK;
}

/* Whether a layer of that name got an adapter. */
static bool adapts_any(const whet_i_tune *run, const whet_i_modules *set) {
    const char *factor = whet_i_adapter_factor(run->config.kind, 0);
    const size_t end = strlen(factor) + 1; /* with the point */
    for (int64_t i = 0; i < run->params->n; i++) {
        char module[NAME_SIZE];
        const size_t n = strlen(run->params->items[i].name);
        (void)snprintf(module, sizeof module, "%s", run->params->items[i].name);
        if (n <= end || n >= sizeof module || strcmp(module + n - end + 1, factor) != 0) continue;
        module[n - end] = '\0';
        if (whet_i_modules_has(&run->config, set, module)) return true;
    }
    return false;
}

/* Layers of heads are there, and have no adapters here. */
static void warn_of_heads(whet_ctx *ctx, const whet_i_tune *run) {
    const whet_i_modules *set = &run->config.targets;
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < set->n && run->adapter->adapts; i++) {
        const whet_i_modules one = {.ends = &set->ends[i], .n = 1};
        if (names_any(run, &one, NULL) && !adapts_any(run, &one))
            whet_i_log(ctx, WHET_LOG_WARN,
                       "targets: %s gets no adapter: it is a head's layer, or is left out",
                       whet_i_quote(quoted, set->ends[i]));
    }
}

/* Numbers of layers that no module of the model has. */
static void warn_of_numbers(whet_ctx *ctx, const whet_i_tune *run) {
    const whet_i_adapter_config *c = &run->config;
    for (int64_t i = 0; i < c->n_layers; i++) {
        bool there = false;
        for (int64_t k = 0; k < run->params->n && !there; k++)
            there = whet_i_module_number(run->params->items[k].name) == c->layers[i];
        if (!there)
            whet_i_log(ctx, WHET_LOG_WARN, "layers: %lld is the number of no layer",
                       (long long)c->layers[i]);
    }
}

static void warn_of_misspelt(whet_ctx *ctx, const whet_i_tune *run) {
    const whet_i_adapter_config *c = &run->config;
    if (run->start) return; /* a folder's */
    if (run->job.targets) warn_of_names(ctx, run, "targets", &c->targets, c->targets.n);
    if (run->job.targets) warn_of_heads(ctx, run);
    warn_of_numbers(ctx, run);
    warn_of_names(ctx, run, "exclude", &c->excluded, c->excluded.n);
    warn_of_values(ctx, run, "rank pattern", &c->ranks);
    warn_of_values(ctx, run, "alpha pattern", &c->alphas);
    warn_of_values(ctx, run, "blocks pattern", &c->block_counts);
}

/* ---- choosing ----------------------------------------------------------------------------------- */

whet_status whet_i_tune_choose_trained(whet_ctx *ctx, whet_i_tune *run) {
    int64_t matched = run->n_matched;
    for (int64_t i = 0; i < run->params->n; i++) {
        whet_i_param *p = &run->params->items[i];
        p->trainable = is_trained(run, p);
        if (!p->source.data) run->new_tensors++;
        if (!p->source.data || whet_i_backbone_is_head(&run->backbone, p->name))
            p->rate = run->job.head_rate;
        /* Adapters are new as well, but they are the point: the rate is theirs. */
        if (whet_i_tune_is_adapter(p->name))
            p->rate =
                whet_i_adapter_is_second(run->config.kind, p->name) ? run->job.second_rate : 1;
        if (p->trainable && p->source.data && !is_saved(run, p) &&
            !whet_i_backbone_is_head(&run->backbone, p->name))
            matched++;
    }
    if (matched == 0) return nothing_trained(ctx, run);
    WHET_TRY(check_saved(ctx, run));
    WHET_TRY(save_new(ctx, run));
    if (!run->start) WHET_TRY(spell_saved(ctx, run));
    WHET_TRY(save_tied(ctx, run));
    if (!run->survey) warn_of_misspelt(ctx, run);
    if (run->adapter->trains) return run->adapter->peft_type ? name_targets(ctx, run) : WHET_OK;
    return settle_folder(ctx, run);
}
