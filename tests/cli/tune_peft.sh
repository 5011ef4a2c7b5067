#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Folders of adapters that PEFT and whet compute the same by: what PEFT makes of tied heads, patterns and modules
# that are saved whole (read off PEFT 0.21.2 and transformers 5.24), said without them.
. "$(dirname "$0")/lib.sh"
golden=$WHET_TEST_SOURCE/tests/golden
mkdir tied untied
for kind in llama3:tied llama:untied; do
    cp "$golden/llama/${kind%:*}/config.json" "$golden/llama/${kind%:*}/model.safetensors" "${kind#*:}"
    cp "$golden/llama/tokenizer_begin.json" "${kind#*:}/tokenizer.json"
done
awk 'BEGIN { print "text"; for (i = 0; i < 24; i++) print (i % 2 ? "dog does bark" : "cat does mew") }' >texts.tsv

cat >folders.py <<'E2'
import json, os, shutil, struct

def read(path):
    """{name: (type, shape, bytes)}"""
    b = open(path, "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    out = {}
    for k, v in json.loads(b[8:8 + n]).items():
        if k != "__metadata__":
            first, last = v["data_offsets"]
            out[k] = (v["dtype"], v["shape"], b[8 + n + first:8 + n + last])
    return out

def write(path, tensors):
    header, body = {}, b""
    for k, (dtype, shape, data) in tensors.items():
        header[k] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + body)

def adapter(folder):
    return read(folder + "/adapter_model.safetensors")

def config(folder):
    return json.load(open(folder + "/adapter_config.json"))

def changed(source, target, tensors=None, **members):
    """A copy of a folder of adapters with other tensors, and members of its config."""
    shutil.rmtree(target, ignore_errors=True)
    os.mkdir(target)
    write(target + "/adapter_model.safetensors", adapter(source) if tensors is None else tensors)
    json.dump({**config(source), **members}, open(target + "/adapter_config.json", "w"))

HEAD, WORDS = "base_model.model.lm_head.weight", "base_model.model.model.embed_tokens.weight"
E2

# Word vectors that are the head are trained as both. PEFT wraps modules one by one: it needs both told.
learn='--train texts.tsv --lr 0.02 --batch 8 --epochs 2 --quiet'
# shellcheck disable=SC2086
run 0 whet tune --model tied $learn --adapter lora --save-modules embed_tokens --output both
python3 - <<'E2' || fail 'the head is not told beside the word vectors'
from folders import *
t, c = adapter("both/adapter"), config("both/adapter")
assert t[HEAD] == t[WORDS]
assert c["ensure_weight_tying"] is True and c["modules_to_save"][-1] == "lm_head", c
E2
run 0 whet tune merge --model tied --adapter both --output both-merged
says 'of the logits of next tokens'
run 0 whet tune merge --model tied --adapter both --dtype f32 --output both-cast
python3 - <<'E2' || fail 'the merged model is another one than that of training'
from folders import *
a, b = read("both/model.safetensors"), read("both-merged/model.safetensors")
assert a.keys() == b.keys() and "lm_head.weight" not in b
assert b["model.embed_tokens.weight"] == adapter("both/adapter")[WORDS]
E2
# shellcheck disable=SC2086
run 0 whet tune --model untied $learn --adapter lora --save-modules embed_tokens --output apart
python3 -c 'from folders import *
assert HEAD not in adapter("apart/adapter") and "ensure_weight_tying" not in config("apart/adapter")' ||
    fail 'a head of its own is taken for the word vectors'

# PEFT's modules_to_save: ["embed_tokens"] on such a base: the head keeps the base's, merged and unmerged.
python3 - <<'E2' || fail 'no folder'
from folders import *
t = adapter("both/adapter")
head = t.pop(HEAD)
changed("both/adapter", "words", t, modules_to_save=["embed_tokens"], ensure_weight_tying=False)
changed("both/adapter", "resized", t, modules_to_save=None)
del t[WORDS]
changed("both/adapter", "head", {**t, HEAD: head}, modules_to_save=["lm_head"], ensure_weight_tying=False)
E2
for kind in words head; do
    run 0 whet tune merge --model tied --adapter $kind --output $kind-merged --json
    run 0 whet generate --model $kind-merged --prompt 'dog does' --tokens 12
    cp .out merged.txt
    run 0 whet generate --model tied --adapter $kind --prompt 'dog does' --tokens 12
    cmp -s .out merged.txt || fail "$kind: merged and unmerged say something else"
done
run 0 whet tune merge --model tied --adapter resized --output resized-merged
run 0 whet tune merge --model tied --adapter both --output both-merged --force
python3 - <<'E2' || fail 'word vectors and head of the merged models'
from folders import *
base, t = read("tied/model.safetensors")["model.embed_tokens.weight"], adapter("both/adapter")
for folder, words, head in ("words", t[WORDS], base), ("head", base, t[HEAD]):
    m = read(folder + "-merged/model.safetensors")
    assert m["model.embed_tokens.weight"] == words and m["lm_head.weight"] == head, folder
    assert json.load(open(folder + "-merged/config.json"))["tie_word_embeddings"] is False
    for part in json.load(open(folder + "-merged/merge.json"))["probe"].values():
        assert part["max_difference"] < 1e-5 * part["largest"], (folder, part)
# Without modules_to_save PEFT puts them into the base's own matrix, which is the head's too.
assert "lm_head.weight" not in read("resized-merged/model.safetensors")
E2
# Folders from here that tell of the word vectors alone are of both, as they were when they were trained.
python3 - <<'E2' || fail 'no folder'
from folders import *
changed("words", "old", modules_to_save=["embed_tokens"])
c = config("old")
assert c.pop("ensure_weight_tying") is False and c["whet_base"]
json.dump(c, open("old/adapter_config.json", "w"))
E2
run 0 whet tune merge --model tied --adapter old --output old-merged
cmp -s old-merged/model.safetensors both-merged/model.safetensors || fail 'an older folder is another model, merged'
for folder in both old; do
    run 0 whet generate --model tied --adapter $folder --prompt 'dog does' --tokens 12
    cp .out $folder.txt
done
cmp -s old.txt both.txt || fail 'an older folder is another model'
# shellcheck disable=SC2086
run 0 whet tune --model tied $learn --init-adapter old --output old-on
# Training goes on from both, and not from one of them.
# shellcheck disable=SC2086
run 0 whet tune --model tied $learn --init-adapter both/adapter --output on
quiet_about 'left out'
mark
for kind in words head; do
    # shellcheck disable=SC2086
    run 3 whet tune --model tied $learn --init-adapter $kind --output z
    tells 'expected both in modules_to_save, and equal'
done
unchanged

# all-linear is linear layers with everything that trains weights of the model itself, too.
bert=$golden/bert_tiny/even
awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 24; i++)
        printf "%s video number %d\t%s\n", i % 2 ? "good" : "bad", i, i % 2 ? "yes" : "no" }' >train.tsv
train="--model $bert --train train.tsv --batch 8 --epochs 1 --lr 0.01 --quiet"
for kind in full bitfit; do
    # shellcheck disable=SC2086
    run 0 whet tune $train --adapter $kind --targets all-linear --output linear-$kind
done
# shellcheck disable=SC2086
run 0 whet tune $train --adapter bitfit --exclude all-linear --output others
python3 - "$bert" <<'E2' || fail 'all-linear is something else than linear layers'
import sys
from folders import *
def linear(name):
    return name.split(".")[-2] in ("query", "key", "value", "dense")
base, tuned = read(sys.argv[1] + "/model.safetensors"), read("linear-full/model.safetensors")
for name, (_, shape, data) in base.items():
    same = tuned["bert." + name][2] == data
    assert same != linear(name), name
biases, others = (
    {n[len("base_model.model."):-len(".bias")] for n in adapter(f) if n.endswith(".bias")} for f in ("linear-bitfit", "others"))
new = {n for n in biases if "pooler" in n or "classifier" in n}
assert biases - new and all(linear(n + ".x") for n in biases - new), biases
assert others - new and not any(linear(n + ".x") for n in others - new), others
for folder, got in ("linear-bitfit", biases), ("others", others):
    c = config(folder)
    assert set(c["target_modules"]) == got - new and c["exclude_modules"] is None, c
E2
mark
# shellcheck disable=SC2086
run 2 whet tune $train --adapter norms --targets all-linear --output z
tells 'targets "all-linear" have nothing that adapter norms trains'
# shellcheck disable=SC2086
run 2 whet tune $train --adapter norms --targets query --output z
tells 'targets "query" have nothing that adapter norms trains'
unchanged
# Folders of norms name what was trained: PEFT has no numbers of layers for them.
# shellcheck disable=SC2086
run 0 whet tune $train --adapter norms --layers 1 --exclude attention.output.LayerNorm --output norms
python3 -c 'from folders import *
assert config("norms")["target_modules"] == ["bert.encoder.layer.1.output.LayerNorm"], config("norms")' || fail 'norms are others'

# Patterns that Python reads otherwise, or that take more of PEFT's modules than layers, become names.
layers='bert.encoder.layer.0.attention.self.query bert.encoder.layer.1.attention.self.query'
for targets in 'regex:.*\.[[:alpha:]]+\.query' 'regex:.*(?i)QUERY' 'regex:.*\.\Qquery\E' 'query,LayerNorm'; do
    # shellcheck disable=SC2086
    run 0 whet tune $train --adapter lora --targets "$targets" --output spelt --force
    # shellcheck disable=SC2086
    python3 -c 'import sys; from folders import *; assert config("spelt")["target_modules"] == sys.argv[1:], config("spelt")' $layers ||
        fail "targets $targets are not spelt"
done
# shellcheck disable=SC2086
run 0 whet tune $train --adapter lora --targets query,value --exclude 'regex:.*(?i)VALUE' --rank-pattern '[[:alpha:]]+\.query=2' \
    --alpha-pattern 'layer\.1\..*=3' --output spelt --force
python3 - <<'E2' || fail 'patterns are not what Python reads'
from folders import *
c = config("spelt")
layers = ["bert.encoder.layer.%d.attention.self.query" % i for i in (0, 1)]
assert c["target_modules"] == layers and c["exclude_modules"] is None, c
assert c["rank_pattern"] == {layer: 2 for layer in layers} and c["alpha_pattern"] == {"layer\\.1\\..*": 3}, c
E2
# Files' patterns are Python's.
python3 - <<'E2' || fail 'no folder'
from folders import *
query = r"encoder\.layer\.\d{,2}\.attention\.self\.\u0071uery"
changed("spelt", "quantified", target_modules=r"bert\." + query, rank_pattern={query: 2})
changed("spelt", "posix", rank_pattern={"[[:alpha:]]+.query": 4}, r=2)
changed("spelt", "quoted", target_modules=r".*\.\Qquery\E")
E2
for folder in spelt quantified posix; do
    run 0 whet tune merge --model "$bert" --adapter $folder --output $folder-merged --quiet
    cmp -s $folder-merged/model.safetensors spelt-merged/model.safetensors || [ $folder = posix ] || fail "$folder is another adapter"
done
mark
run 3 whet tune merge --model "$bert" --adapter quoted --output z
tells 'which Python'"'"'s re does not have; expected a regular expression of Python'"'"'s'
unchanged

# modules_to_save are bare ends to PEFT: names, or those of the parts where they are the end of another, say what is
# meant. "norm" would be each layer's, "embeddings" wrap its own word_embeddings in a module that is wrapped.
saved() {
    modules=$1
    shift
    run 0 whet tune "$@" --output kept --force
    python3 -c 'import sys; from folders import *
c = config(sys.argv[1])["modules_to_save"]
assert c == sys.argv[2].split(","), c' "$([ -d kept/adapter ] && echo kept/adapter || echo kept)" "$modules" || fail "modules to save are not $modules"
    rm -rf kept
}
# shellcheck disable=SC2086
saved model.norm --model tied $learn --adapter lora --save-modules norm
# shellcheck disable=SC2086
saved bert.embeddings,bert.encoder.layer.0.output.LayerNorm,bert.pooler.dense,classifier $train --adapter lora \
    --save-modules embeddings,layer.0.output.LayerNorm
parts='word_embeddings position_embeddings token_type_embeddings LayerNorm'
# shellcheck disable=SC2086
saved "$(for part in $parts; do printf 'embeddings.%s,' $part; done | sed 's/,$//')" $train --adapter lora --loss contrastive \
    --save-modules embeddings
finish
