#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet merge: what recipes say of tokenizers and chat templates, and how they say it.
. "$(dirname "$0")/lib.sh"

# Folders a, b, c: one table of two words, a tokenizer, templates T (a, in its configuration), U (b, in a file of its own, and c).
python3 - <<'END_' || fail 'nothing is made'
import json, os, struct
for name, row in (("a", 1), ("b", 2), ("c", 3)):
    os.mkdir(name)
    config = {"eos_token": "</s>"}
    if name == "b":
        open("b/chat_template.jinja", "w").write("{{ 'U' }}")
    elif name == "c":
        config["chat_template"] = [{"name": "tool_use", "template": "{{ 'V' }}"}, {"name": "default", "template": "{{ 'U' }}"}]
    else:
        config["chat_template"] = "{{ 'T' }}"
    json.dump(config, open(name + "/tokenizer_config.json", "w"))
    json.dump({"model": {"vocab": {"a": 0, "b": 1} if name == "a" else {"b": 0, "a": 1}}}, open(name + "/tokenizer.json", "w"))
    text = json.dumps({"lm_head.weight": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}}).encode()
    open(name + "/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + struct.pack("<2f", row, 10 * row))
END_
recipe() { printf 'merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: a}, {model: b}, {model: c}]\n%s\n' "$1" >r.yml; }
# template PART: it is in the output's configuration, and no file goes before that
template() {
    python3 -c 'import json, sys; t = json.load(open("out/tokenizer_config.json")); assert sys.argv[1] in t["chat_template"], t
assert t["eos_token"] == "</s>"' "$1" || fail "the template lacks $1"
    absent out/chat_template.jinja
}

for pair in 'alpaca ### Instruction:' 'chatml <|im_start|>' 'exaone [|endofturn|]' 'llama3 <|eot_id|>' 'mistral [/INST]'; do
    recipe "chat_template: ${pair%% *}"
    run 0 whet merge --recipe r.yml --output out --force
    template "${pair#* }"
done
sed -i 's/{model: a}, {model: b}/{model: b}, {model: a}/' r.yml # whose template is a file
run 0 whet merge --recipe r.yml --output out --force
template '[/INST]'
recipe 'chat_template: "{{ messages[0].content }}"'
run 0 whet merge --recipe r.yml --output out --force
template '{{ messages[0].content }}'
recipe 'chat_template: auto' # two of three have it
run 0 whet merge --recipe r.yml --output out --force
template "{{ 'U' }}"
mark
recipe 'chat_template: chatmll'
run 3 whet merge --recipe r.yml --output none
tells 'r.yml:4: "chat_template" is "chatmll"; expected auto, alpaca, chatml'
recipe 'chat_template: chatml'
run 2 whet merge --recipe r.yml --output none.safetensors
tells 'none.safetensors: a chat template is asked for; expected a folder to write'
unchanged

# A tokenizer of a model, in the forms that mergekit has had.
for source in 'tokenizer_source: c' 'tokenizer_source: model:c' 'tokenizer_source: {model: {path: c}}' \
    'tokenizer: {source: model:c}' 'tokenizer: {source: {model: {path: c}}}'; do
    recipe "$source"
    run 0 whet merge --recipe r.yml --output out --force
    cmp -s out/tokenizer.json c/tokenizer.json || fail 'it is another tokenizer'
    python3 -c 'import struct
r = struct.unpack("<2f", open("out/model.safetensors", "rb").read()[-8:])
assert abs(r[0] - 5) < 1e-5 and abs(r[1] - 17) < 1e-5, r' || fail 'rows are other words'
done
recipe 'tokenizer_source: {model: c, lora: b}'
run 3 whet merge --recipe r.yml --output none
tells 'r.yml:4: a tokenizer of a model with an adapter'
finish
