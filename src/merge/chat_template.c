/* SPDX-License-Identifier: Apache-2.0
 * A recipe's chat template: one that has a name, in Jinja, as its format was published; one of the recipe's
 * own; or, "auto", the one that most models have. It stands in tokenizer_config.json.
 * Sources: OpenAI's ChatML; Meta's prompt format of Llama 3; Mistral's "[INST]" format; Stanford Alpaca's
 * prompt; the model card of LG's EXAONE 3. */
#include <errno.h>
#include <stdio.h>

#include "merge/merge_plan.h"
#include "merge/weight_shards.h"

enum { TEMPLATE_MAX = 1 << 20, SMALL_FILE_MAX = 1 << 28 };

/* A line's end behind a tag would be the tag's: it stands in quotes there. */
static const struct {
    const char *name, *text;
} named[] = {
    {"alpaca", "{% for message in messages %}"
               "{% if message['role'] == 'user' %}### Instruction:\n"
               "{{ message['content'] | trim }}"
               "{% elif message['role'] == 'assistant' %}### Response:\n"
               "{{ message['content'] | trim }}{{ eos_token }}"
               "{% else %}{{ message['content'] | trim }}{% endif %}"
               "{{ '\\n\\n' }}{% endfor %}"
               "{% if add_generation_prompt %}### Response:\n{% endif %}"},
    {"chatml", "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
               "{{ message['content'] }}<|im_end|>\n{% endfor %}"
               "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"},
    {"exaone",
     "{% for message in messages %}"
     "{% if loop.first and message['role'] != 'system' %}[|system|][|endofturn|]\n{% endif %}"
     "[|{{ message['role'] }}|]{{ message['content'] }}"
     "{% if message['role'] != 'user' %}[|endofturn|]{% endif %}"
     "{{ '\\n' }}{% endfor %}"
     "{% if add_generation_prompt %}[|assistant|]{% endif %}"},
    {"llama3",
     "{{ bos_token }}{% for message in messages %}"
     "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
     "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
     "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"},
    /* What the system says stands before what the user says next. */
    {"mistral",
     "{{ bos_token }}{% set system = namespace(text='') %}"
     "{% for message in messages %}{% if message['role'] == 'system' %}"
     "{% set system.text = message['content'] + '\\n\\n' %}"
     "{% elif message['role'] == 'user' %}"
     "[INST] {{ system.text + message['content'] }} [/INST]{% set system.text = '' %}"
     "{% else %} {{ message['content'] | trim }}{{ eos_token }}{% endif %}{% endfor %}"}};

const char *whet_i_chat_template(const char *text) {
    if (strcmp(text, "auto") == 0 || strchr(text, '{')) return text;
    for (int64_t i = 0; i < WHET_COUNT_OF(named); i++)
        if (strcmp(text, named[i].name) == 0) return named[i].text;
    return NULL;
}

/* ---- what a model has --------------------------------------------------------------------------- */

/* One of its own file. */
static whet_status read_file(whet_ctx *ctx, const char *path, json_t **out) {
    char *bytes;
    int64_t len;
    WHET_TRY(whet_i_file_read(ctx, path, TEMPLATE_MAX, &bytes, &len));
    *out = json_stringn(bytes, (size_t)len);
    whet_i_free(ctx, bytes);
    return *out ? WHET_OK : whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: expected text in UTF-8", path);
}

/* "chat_template": a text, or a list of them by name, of which "default" counts. */
static whet_status read_config(whet_ctx *ctx, const char *path, json_t **out) {
    json_t *config;
    const json_t *one;
    size_t i;
    WHET_TRY(whet_i_json_read(ctx, path, SMALL_FILE_MAX, &config));
    json_t *has = json_object_get(config, "chat_template"), *text = NULL;
    if (json_is_string(has)) text = has;
    json_array_foreach(has, i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && strcmp(name, "default") == 0) text = json_object_get(one, "template");
    }
    *out = json_is_string(text) ? json_incref(text) : NULL;
    json_decref(config);
    return WHET_OK;
}

/* *out NULL where there is none. */
static whet_status template_of(whet_ctx *ctx, const char *folder, json_t **out) {
    static const struct {
        const char *name;
        whet_status (*read)(whet_ctx *ctx, const char *path, json_t **out);
    } places[] = {{"chat_template.jinja", read_file}, {"tokenizer_config.json", read_config}};
    *out = NULL;
    for (int64_t i = 0; i < WHET_COUNT_OF(places) && !*out; i++) {
        char *path;
        WHET_TRY(whet_i_join_path(ctx, folder, places[i].name, &path));
        const whet_status status = places[i].read(ctx, path, out);
        const int error = status == WHET_ERR_IO ? whet_error_errno(ctx) : 0;
        whet_i_free(ctx, path);
        if (error != ENOENT && error != ENOTDIR) WHET_TRY(status);
    }
    return WHET_OK;
}

/* The one that most models have, of as many the first's. */
static whet_status most_common(whet_ctx *ctx, const whet_merge_plan *plan, json_t **out) {
    json_t **has;
    int64_t best = 0;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_alloc_(ctx, plan->n_models, sizeof(void *), true, &has));
    for (int64_t i = 0; status == WHET_OK && i < plan->n_models; i++)
        status = template_of(ctx, plan->models[i].path, &has[i]);
    for (int64_t i = 0; status == WHET_OK && i < plan->n_models; i++) {
        int64_t times = 0;
        for (int64_t k = 0; has[i] && k < plan->n_models; k++) times += json_equal(has[i], has[k]);
        if (times > best) *out = has[i];
        if (times > best) best = times;
    }
    json_incref(*out);
    for (int64_t i = 0; i < plan->n_models; i++) json_decref(has[i]);
    whet_i_free(ctx, has);
    return status;
}

/* ---- what the output has ------------------------------------------------------------------------ */

/* Files that would go before it. */
static whet_status remove_others(whet_ctx *ctx, const char *folder) {
    static const char *const names[] = {"chat_template.jinja", "chat_template.json"};
    for (int64_t i = 0; i < WHET_COUNT_OF(names); i++) {
        char *path;
        WHET_TRY(whet_i_join_path(ctx, folder, names[i], &path));
        (void)remove(path);
        whet_i_free(ctx, path);
    }
    return WHET_OK;
}

whet_status whet_i_plan_template(whet_ctx *ctx, whet_merge_plan *plan) {
    whet_i_recipe *recipe = &plan->recipe;
    json_t *text = NULL;
    if (!recipe->chat_template) return WHET_OK;
    if (plan->single)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: a chat template is asked for; expected a folder to write",
                           plan->output);
    if (strcmp(recipe->chat_template, "auto") != 0) return WHET_OK;
    WHET_TRY(most_common(ctx, plan, &text));
    recipe->chat_template = NULL;
    if (!text)
        whet_i_log(ctx, WHET_LOG_WARN, "chat_template auto: no model has one; none is written");
    const whet_status status =
        text ? whet_i_recipe_text(ctx, recipe, whet_str_from(json_string_value(text)),
                                  &recipe->chat_template)
             : WHET_OK;
    json_decref(text);
    return status;
}

whet_status whet_i_plan_write_template(whet_ctx *ctx, const whet_merge_plan *plan,
                                       const char *folder) {
    static const char name[] = "tokenizer_config.json";
    json_t *config = NULL;
    char *path;
    if (!plan->recipe.chat_template) return WHET_OK;
    WHET_TRY(remove_others(ctx, folder));
    WHET_TRY(whet_i_join_path(ctx, folder, name, &path));
    whet_status status = whet_i_json_read(ctx, path, SMALL_FILE_MAX, &config);
    if (status == WHET_ERR_IO) { /* what is copied is there, or there is none */
        config = json_object();
        status = WHET_OK;
    }
    if (status == WHET_OK && !json_is_object(config))
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %s; expected an object", name,
                             whet_i_json_kind(config));
    if (status == WHET_OK &&
        json_object_set_new(config, "chat_template", json_string(plan->recipe.chat_template)) != 0)
        status = whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: %s", name);
    if (status == WHET_OK) status = whet_i_write_json(ctx, config, folder, name);
    json_decref(config);
    whet_i_free(ctx, path);
    return status;
}
