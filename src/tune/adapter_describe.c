/* SPDX-License-Identifier: Apache-2.0
 * What is in a folder of adapters, as JSON. */
#include "tune/adapter_set.h"

bool whet_adapter_is_more(const whet_adapter *adapter) { return adapter->more; }

bool whet_adapter_is_dora(const whet_adapter *adapter) { return whet_i_adapter_is_dora(adapter); }

whet_status whet_i_adapter_check_layers(whet_ctx *ctx, const whet_adapter *a) {
    if (!a->own) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "%s: holds weights of the model itself (%s), which are no adapters of "
                       "layers; expected LoRA, DoRA or MoRe; try whet tune merge",
                       a->path, a->own->name);
}

static json_t *layer_json(const whet_i_adapter_layer *l) {
    const whet_i_adapter_shape *s = &l->shape;
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:I}", "module", l->module, "in",
                     (json_int_t)s->in, "out", (json_int_t)s->out, "rank", (json_int_t)s->rank,
                     "blocks", (json_int_t)s->blocks, "scale", l->scale, "parameters",
                     (json_int_t)whet_i_adapter_layer_count(l));
}

typedef enum part { HEADS, BIASES, OWN } part;

static part part_of(const whet_i_adapter_whole *w) {
    return w->own ? OWN : w->layer_bias || w->plain_bias ? BIASES : HEADS;
}

static json_t *names_json(const whet_adapter *a, part which) {
    json_t *names = json_array();
    for (int64_t i = 0; i < a->n_wholes; i++)
        if (part_of(&a->wholes[i]) == which)
            (void)json_array_append_new(names, json_string(a->wholes[i].name));
    return names;
}

static json_t *text_or_null(const whet_adapter *a, const char *key) {
    const json_t *value = json_object_get(a->json, key);
    return json_is_string(value) ? json_string(json_string_value(value)) : json_null();
}

whet_status whet_adapter_describe(whet_ctx *ctx, const whet_adapter *a, char **out) {
    json_t *layers = json_array();
    int64_t in_layers = 0, in_wholes = 0;
    whet_i_buf text = {0};
    bool dora = false;
    for (int64_t i = 0; i < a->n_layers; i++) {
        (void)json_array_append_new(layers, layer_json(&a->layers[i]));
        in_layers += whet_i_adapter_layer_count(&a->layers[i]);
        dora = dora || a->layers[i].magnitude.data;
    }
    for (int64_t i = 0; i < a->n_wholes; i++)
        *(a->wholes[i].own ? &in_layers : &in_wholes) += whet_tensor_count(&a->wholes[i].tensor);
    json_t *root = json_pack("{s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o}", "kind",
                             a->own    ? a->own->name
                             : a->more ? "more"
                             : dora    ? "dora"
                                       : "lora",
                             "layers", layers, "heads", names_json(a, HEADS), "biases",
                             names_json(a, BIASES), "own", names_json(a, OWN), "adapter_parameters",
                             (json_int_t)in_layers, "other_parameters", (json_int_t)in_wholes,
                             "base", text_or_null(a, "base_model_name_or_path"), "base_hash",
                             text_or_null(a, WHET_I_BASE_KEY));
    const whet_status status = whet_i_json_dump(ctx, root, JSON_INDENT(2), &text);
    json_decref(root);
    if (status == WHET_OK)
        *out = text.data;
    else
        whet_i_buf_free(ctx, &text);
    return status;
}
