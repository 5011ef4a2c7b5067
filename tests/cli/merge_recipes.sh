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

# What stands beside the weights is the first model's, where it is a folder.
run 0 whet merge --method linear a/model.safetensors b --output bare
tells 'a/model.safetensors is a file: bare gets no config.json and no tokenizer'
absent bare/tokenizer.json
run 0 whet merge --method linear b a/model.safetensors --output bare --force
quiet_about 'is a file'
present bare/tokenizer.json

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

# Ids of tokens follow them: b 1, a 0 of the first model are 0 and 1 of the other.
ids() {
    run 0 whet merge --recipe r.yml --output out --force
    python3 - "$1" <<'END_' || fail 'ids are of other tokens'
import json, sys
for name in ("config.json", "generation_config.json"):
    found = json.load(open("out/" + name))
    assert found == {**found, **eval(sys.argv[1])}, found
assert json.load(open("out/config.json"))["text_config"] == {"bos_token_id": eval(sys.argv[1])["bos_token_id"], "x": 0}
assert found["temperature"] == .7
END_
}
python3 - <<'END_'
import json
ids = {"bos_token_id": 1, "eos_token_id": [0, 1, 7], "pad_token_id": 7, "sep_token_id": None, "cls_token_id": -1}
json.dump({"text_config": {"bos_token_id": 1, "x": 0}, **ids}, open("a/config.json", "w"))
json.dump({"temperature": .7, **ids}, open("a/generation_config.json", "w"))
END_
recipe 'tokenizer_source: c'
ids '{"bos_token_id": 0, "eos_token_id": [1, 0], "pad_token_id": None, "sep_token_id": None, "cls_token_id": -1}'
tells 'config.json: "pad_token_id" is 7, whose token the output'
recipe 'tokenizer_source: union'
ids '{"bos_token_id": 1, "eos_token_id": [0, 1], "pad_token_id": None}'
recipe ''
ids '{"bos_token_id": 1, "eos_token_id": [0, 1, 7], "pad_token_id": 7}'
quiet
rm a/config.json a/generation_config.json

# What a recipe says and would be passed over.
python3 - <<'END_' || fail 'nothing is made'
import json, os, struct
def write(path, dtype, code, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        bits = struct.pack(f"<{len(values)}{code}", *values)
        header[name] = {"dtype": dtype, "shape": [len(values)], "data_offsets": [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
for name, values in (("base", (0, 0)), ("m", (1, 1)), ("n", (4, 2))):
    write(name + ".safetensors", "F32", "f", {"model.layers.0.w": values, "model.layers.1.w": values})
write("huge.safetensors", "F64", "d", {"x": (1, 1e300)})
os.mkdir("parts")
write("parts/m1.safetensors", "F32", "f", {"x": (1, 2)})
json.dump({"weight_map": {"x": "m1.safetensors", "y": "m1.safetensors"}}, open("parts/model.safetensors.index.json", "w"))
END_
# numbers WANT...: all tensors of out.safetensors are these
numbers() {
    python3 - "$@" <<'END_' || fail "not $*"
import struct, sys
want = [float(x) for x in sys.argv[1:]]
got = struct.unpack("<4f", open("out.safetensors", "rb").read()[-16:])
assert got == (*want, *want), got
END_
}
both() { printf 'models: [{model: m.safetensors%s}, {model: n.safetensors%s}]\nmerge_method: linear\nparameters: {weight: 1}\n' "$1" "$2" >r.yml; }
mark
both '' ', parameters: {normalize: false}' # of which only the first model's counted
run 0 whet merge --recipe r.yml --output out.safetensors
tells 'r.yml:1: "normalize" is of all models at once, and is passed over here; expected it in the "parameters" of the slice or'
both '' ''
run 0 whet merge --recipe r.yml --output without.safetensors
cmp -s out.safetensors without.safetensors || fail 'one model of all counts'
rm out.safetensors without.safetensors
mark
printf 'merge_method: linear\nmodels: []\n' >r.yml
run 3 whet merge --recipe r.yml --output out.safetensors
for pair in '-1,2 is -1 to 2' '2,2 is 2 to 2' '0,1.5 is no pair of whole numbers'; do
    printf 'merge_method: passthrough\nslices: [{sources: [{model: m.safetensors, layer_range: [%s]}]}]\n' "${pair%% *}" >r.yml
    run 3 whet merge --recipe r.yml --output out.safetensors
    tells "r.yml:2: \"layer_range\" ${pair#* }; expected the first layer"
done
printf 'merge_method: passthrough\nmodels: [{model: a}]\ntokenizer: {pad_to_multiple_of: 0}\n' >r.yml
run 3 whet merge --recipe r.yml --output out
tells '"pad_to_multiple_of" is "0"; expected 1 to 1048576'
# An output that cannot be put in place is told before the work.
for place in . .. / ../. a/..; do
    run 2 whet merge --method passthrough a --output $place --force --dry-run
    tells 'a folder that cannot be replaced; expected a name'
done
mkdir shut
chmod 500 shut
if ! touch shut/x 2>/dev/null; then # it can by the superuser
    run 4 whet merge --method passthrough a --output shut/x --dry-run
    tells 'shut: cannot be written in: Permission denied'
fi
rm -rf shut
run 3 whet merge --method passthrough huge.safetensors --output out.safetensors
tells '"x" is NaN or infinite as f32 at [1]'
run 3 whet merge --method passthrough parts --output out.safetensors
tells 'parts/model.safetensors.index.json: tensor "y" is not in m1.safetensors'
run 3 whet align parts parts --output out.safetensors
tells 'parts/model.safetensors.index.json: tensor "y" is not in m1.safetensors'
unchanged
both ', parameters: {weight: [{filter: w, value: 1}, {value: 2}]}' ', parameters: {weight: [{filter: mpl, value: 3}, {value: 1}]}'
run 0 whet merge --recipe r.yml --output out.safetensors
tells 'filter "mpl" of "weight" is part of no tensor'
quiet_about 'filter "w"'
numbers 2.5 1.5
# Settings of the module hold where a slice has some of its own.
printf '%s\n' 'merge_method: linear' 'parameters: {weight: 9}' 'modules:' '  m:' '    parameters: {weight: 1, normalize: false}' '    slices:' \
    '      - sources: [{model: m.safetensors, layer_range: [0, 1]}]' '        parameters: {weight: 2}' \
    '      - sources: [{model: m.safetensors, layer_range: [1, 2]}]' '        parameters: {weight: 2}' >r.yml
run 0 whet merge --recipe r.yml --output out.safetensors --force
numbers 2 2
# Of a gradient a layer alone takes the last value.
printf '%s\n' 'merge_method: passthrough' 'slices:' '  - sources: [{model: m.safetensors, layer_range: [0, 1]}]' \
    '  - sources: [{model: m.safetensors, layer_range: [1, 2]}]' 'parameters: {scale: [2, 3]}' >r.yml
run 0 whet merge --recipe r.yml --output out.safetensors --force
numbers 3 3

# A stack of a model that ties its output layer and one that does not has the last one's, and says so.
python3 - <<'END_' || fail 'nothing is made'
import json, os, struct
for name, tied in (("tied", True), ("free", False)):
    os.mkdir(name)
    tensors = {"model.embed_tokens.weight": 1 + tied, "model.layers.0.w": 5}
    if not tied:
        tensors["lm_head.weight"] = 7
    header, data = {}, b""
    for key, value in tensors.items():
        header[key] = {"dtype": "F32", "shape": [2, 1], "data_offsets": [len(data), len(data) + 8]}
        data += struct.pack("<2f", value, value)
    text = json.dumps(header).encode()
    open(name + "/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
    json.dump({"num_hidden_layers": 1, "tie_word_embeddings": tied}, open(name + "/config.json", "w"))
END_
for pair in 'free tied 1 2' 'tied free 2 7'; do
    set -- $pair
    printf 'merge_method: passthrough\nslices: [{sources: [{model: %s, layer_range: [0, 1]}]}, {sources: [{model: %s, layer_range: [0, 1]}]}]\n' \
        "$1" "$2" >r.yml
    run 0 whet merge --recipe r.yml --output stack --force
    python3 - "$3" "$4" <<'END_' || fail "$1 and $2 stack wrong"
import json, struct, sys
data = open("stack/model.safetensors", "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + n])
first = {k: struct.unpack("<f", data[8 + n + v["data_offsets"][0]:][:4])[0] for k, v in header.items() if k != "__metadata__"}
assert first["model.embed_tokens.weight"] == float(sys.argv[1]) and first["lm_head.weight"] == float(sys.argv[2]), first
config = json.load(open("stack/config.json"))
assert config["tie_word_embeddings"] is False and config["num_hidden_layers"] == 2, config
END_
done
# Of one model by several paths the base is one.
printf 'merge_method: task_arithmetic\nbase_model: base.safetensors\nmodels: [{model: ./base.safetensors}, {model: m.safetensors}]\nparameters: {weight: 1, normalize: true}\n' >r.yml
run 0 whet merge --recipe r.yml --output out.safetensors --force
numbers 1 1
# What counts as changed is each model's own.
run 0 whet merge --method ram --base base.safetensors n.safetensors m.safetensors --set epsilon=0 --set epsilon:1=1 \
    --output out.safetensors --force
numbers 4 2
finish
