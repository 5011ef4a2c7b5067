#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Kinds of adapters of whet tune and where they go, on the tiny model of tests/golden; what is refused.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 24; i++)
        printf "%s video number %d\t%s\n", i % 2 ? "good" : "bad", i, i % 2 ? "yes" : "no" }' >train.tsv
common="--model $model --train train.tsv --batch 8 --epochs 2 --quiet"

# Names in the folder and what its config says, for each kind.
for kind in lora dora more bitfit norms; do
    # shellcheck disable=SC2086
    run 0 whet tune $common --adapter $kind --output $kind
    present $kind/adapter_model.safetensors
    absent $kind/model.safetensors
    # shellcheck disable=SC2086
    run 0 whet tune $common --adapter $kind --output again --threads 3 --checkpoint-activations --force
    cmp -s $kind/adapter_model.safetensors again/adapter_model.safetensors ||
        fail "$kind: bits depend on threads or recomputation"
done

# What an earlier run of another kind left goes with --force, so that no reader takes the wrong one or both; what
# this one starts from stays, also beside it.
weights='model.safetensors config.json'
adapters='adapter_model.safetensors adapter_config.json'
# replaced THERE GONE ARGS...: trained into `again`, which then has the files THERE and none of GONE
replaced() {
    there=$1
    gone=$2
    shift 2
    # shellcheck disable=SC2086
    run 0 whet tune $common --output again --force "$@"
    for file in $there; do present "again/$file"; done
    for file in $gone; do absent "again/$file"; done
}
replaced "$weights" "$adapters adapter checkpoint" --adapter full
replaced "$adapters" "$weights adapter checkpoint" --adapter lora
replaced "$weights adapter" "$adapters checkpoint" --adapter more --loss contrastive
replaced "$adapters" "$weights adapter checkpoint" --adapter dora
replaced "$weights" "$adapters adapter checkpoint" --adapter full
run 0 whet tune --model again --train train.tsv --epochs 1 --adapter lora --output again --force --quiet
for file in $weights $adapters; do present "again/$file"; done
mkdir theirs && cp "$model"/* theirs
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter lora --output theirs --force --quiet
present theirs/model.safetensors

# What is read is not written over.
mark
run 2 whet tune --model theirs --train train.tsv --epochs 1 --output theirs --force
tells 'theirs: the output would take the place of theirs, which is read; expected another path'
run 2 whet tune merge --model theirs --adapter theirs --output theirs --force
run 2 whet tune export --adapter theirs --to lora --output ./theirs --force
tells './theirs: the output would take the place of what is read; expected another path'
run 2 whet tune combine --adapter theirs --output theirs --force
run 2 whet tune project --model "$model" --adapter theirs --rank 1 --output theirs --force
unchanged

# A checkpoint of other blocks is not gone on from, though they have as many numbers.
long="tune --model $model --train train.tsv --batch 8 --epochs 200 --adapter more --save-steps 1 --output part --quiet"
# shellcheck disable=SC2086
stopped INT part $long
if [ $code = 130 ]; then
    # shellcheck disable=SC2086
    run 3 whet $long --resume --blocks-pattern 'query=2'
    tells 'other settings'
elif [ $code != 0 ]; then
    fail "exit code $code after SIGINT; expected 130"
fi
cat >look.py <<'E2'
import json, struct, sys

def names(folder):
    b = open(folder + "/adapter_model.safetensors", "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    return {k: v["shape"] for k, v in json.loads(b[8:8 + n]).items() if k != "__metadata__"}

# The head, and what this base lacks.
def whole(name):
    return "classifier" in name or "pooler" in name

def config(folder):
    return json.load(open(folder + "/adapter_config.json"))

layer = "base_model.model.bert.encoder.layer.0."
query = layer + "attention.self.query."
for kind, ends in [("lora", ["lora_A.weight", "lora_B.weight"]), ("more", ["more_w1", "more_w2"]),
                   ("dora", ["lora_A.weight", "lora_B.weight", "lora_magnitude_vector"])]:
    got = names(kind)
    assert [e for e in ends if query + e not in got] == [], (kind, got)
    assert "base_model.model.classifier.weight" in got
    assert not any(".key.base" in k or "LayerNorm" in k for k in got)
assert config("dora")["use_dora"] is True and config("lora")["use_dora"] is False
assert config("more")["peft_type"] == "MORE"
got = names("bitfit")
assert query + "bias" in got and all(k.endswith("bias") or whole(k) for k in got)
got = names("norms")
assert layer + "output.LayerNorm.ln_tuning_layers.weight" in got
assert all("LayerNorm.ln_tuning_layers" in k or whole(k) for k in got)
assert config("norms")["peft_type"] == "LN_TUNING" and config("norms")["target_modules"] == ["LayerNorm"]
E2
python3 look.py || fail 'folders are not as PEFT has them'

# A head on the pooled row is none of transformers': folders say so, and go on with it.
# shellcheck disable=SC2086
run 0 whet tune $common --adapter lora --head pooled --output pooled
run 0 whet tune merge --model "$model" --adapter pooled --output pooled-merged
# shellcheck disable=SC2086
run 0 whet tune $common --init-adapter pooled --output pooled-on
cat >pooled.py <<'E2'
import json
from look import config
c = config("pooled")
assert c["whet_head"] == "pooled" and c["task_type"] is None
assert config("pooled-on")["whet_head"] == "pooled"
merged = json.load(open("pooled-merged/config.json"))
assert "ForSequenceClassification" not in str(merged.get("architectures")) and merged["whet_head"] == "pooled"
E2
python3 pooled.py || fail 'a pooled head is not told'
# LoRA+: Adam's first step moves every number by its rate, or not at all; second factors begin at zero.
one="--model $model --train train.tsv --batch 64 --epochs 1 --warmup 0 --schedule constant --lr 0.001 --quiet"
for kind in lora dora more; do
    for rate in 1 16; do
        # shellcheck disable=SC2086
        run 0 whet tune $one --adapter $kind --second-rate $rate --output $kind-second-$rate
    done
done
cat >second.py <<'E2'
import json, struct

def tensors(folder):
    b = open(folder + "/adapter_model.safetensors", "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    out = {}
    for name, t in json.loads(b[8:8 + n]).items():
        if name == "__metadata__": continue
        first, last = (8 + n + x for x in t["data_offsets"])
        out[name] = struct.unpack("<%df" % ((last - first) // 4), b[first:last])
    return out

for kind in "lora", "dora", "more":
    plain, plus = tensors(kind + "-second-1"), tensors(kind + "-second-16")
    for name, values in plus.items():
        second = name.endswith(("lora_B.weight", "more_w2"))
        if second:
            assert max(map(abs, values)) <= 0.016 * (1 + 1e-5) and sum(map(abs, values)) > 0, name
            assert all(abs(x - 16 * y) < 1e-6 for x, y in zip(values, plain[name])), name
        else:
            assert values == plain[name], name
assert json.load(open("lora-second-16/training.json"))["settings"]["second_rate"] == 16
E2
python3 second.py || fail 'second factors do not have their rate'
# Which layers, and what each is like.
# shellcheck disable=SC2086
run 0 whet tune $common --adapter lora --targets all-linear --exclude key,intermediate.dense --layers 1 \
    --rank-pattern 'value=2,layer\.1\..*=3' --alpha-pattern 'query=5' --rslora --adapter-dropout 0.5 \
    --save-modules embeddings.LayerNorm --output where
cat >where.py <<'E2'
from look import names, config
got, c = names("where"), config("where")
layer = "base_model.model.bert.encoder.layer.1."
rank = {k: v[0] for k, v in got.items() if k.endswith("lora_A.weight")}
assert rank == {layer + "attention.self.query.lora_A.weight": 3,
                layer + "attention.self.value.lora_A.weight": 2,
                layer + "attention.output.dense.lora_A.weight": 3,
                layer + "output.dense.lora_A.weight": 3}, rank
assert "base_model.model.bert.embeddings.LayerNorm.weight" in got
assert set(c["modules_to_save"]) == {"bert.embeddings.LayerNorm", "classifier", "bert.pooler.dense"}
assert c["use_rslora"] and c["lora_dropout"] == 0.5 and c["rank_pattern"]["value"] == 2
assert list(c["rank_pattern"]) == ["value", "layer\\.1\\..*"], "the first that fits counts, in PEFT too"
assert c["layers_to_transform"] is None and len(c["target_modules"]) == 4  # PEFT takes numbers with lists only
E2
python3 where.py || fail 'layers are not those asked for'
# shellcheck disable=SC2086
run 0 whet tune $common --adapter lora --targets all-linear --exclude key,intermediate.dense --layers 1 \
    --rank-pattern 'value=2,layer\.1\..*=3' --alpha-pattern 'query=5' --rslora --output dry --save-modules embeddings.LayerNorm
cmp -s where/adapter_model.safetensors dry/adapter_model.safetensors && fail 'dropout changes nothing'
# shellcheck disable=SC2086,SC2046
run 0 whet tune $(echo "$common" | sed s/--quiet//) --adapter more --blocks 4 --blocks-pattern 'query=2' --rank 2 --output blocks
tells 'key": rank 2 is below its 4 blocks, so that 50 % of its matrix can only be zero'
python3 -c 'from look import names
got = names("blocks")
layer = "base_model.model.bert.encoder.layer.0.attention.self."
assert got[layer + "query.more_w1"][0] == 2 and got[layer + "key.more_w1"][0] == 4' ||
    fail 'blocks are not those asked for'

# A rank above a layer is refused by the layer's name.
# shellcheck disable=SC2086
run 2 whet tune $common --adapter lora --rank 1000 --output above
tells 'query": rank 1000; expected at most'
[ -e above ] && fail 'a refused run leaves a folder'

# Going on from a folder: a rate of nothing keeps it, another changes it; what it says is not said again.
for kind in lora dora more; do
    run 0 whet tune --model "$model" --train train.tsv --epochs 1 --lr 1e-12 --init-adapter $kind --output on --force --quiet
    run 0 whet tune --model "$model" --train train.tsv --epochs 1 --init-adapter $kind --output further --force --quiet
    python3 - $kind <<'E2' || fail "$kind: going on begins elsewhere"
import json, struct, sys

def numbers(folder):
    b = open(folder + "/adapter_model.safetensors", "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    return {k: struct.unpack("<%df" % ((v["data_offsets"][1] - v["data_offsets"][0]) // 4),
                             b[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]])
            for k, v in json.loads(b[8:8 + n]).items() if k != "__metadata__"}

def apart(a, b):
    assert a.keys() == b.keys(), set(a) ^ set(b)
    return max(abs(x - y) for k in a for x, y in zip(a[k], b[k]))

start, same, further = (numbers(f) for f in (sys.argv[1], "on", "further"))
assert apart(start, same) < 1e-9 and apart(start, further) > 1e-4
a, b = (json.load(open(f + "/adapter_config.json")) for f in (sys.argv[1], "on"))
assert {k: a[k] for k in a if k != "base_model_name_or_path"} == {k: b[k] for k in a if k != "base_model_name_or_path"}
E2
done
# What is not trained here is not dropped: layers of a head, biases. layers_pattern says which number of a name counts.
run 0 whet tune merge --model "$model" --adapter lora --output with-pooler
run 0 whet tune --model with-pooler --train train.tsv --epochs 1 --adapter lora --output lora2 --quiet
python3 - <<'E3' || fail 'nothing is made'
import json, os, shutil, struct

def with_more(name, tensors, config, start="lora"):
    shutil.copytree(start, name)
    path = name + "/adapter_model.safetensors"
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    header, end = json.loads(data[8:8 + n]), len(data) - 8 - n
    values = b""
    for key, shape in tensors.items():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        values += struct.pack("<f", .25) * (size // 4)
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data[8 + n:] + values)
    old = json.load(open(name + "/adapter_config.json"))
    json.dump({**old, **config}, open(name + "/adapter_config.json", "w"))

dense = "base_model.model.bert.pooler.dense"
targets = json.load(open("lora/adapter_config.json"))["target_modules"]
with_more("with-head", {dense + ".lora_A.weight": [8, 32], dense + ".lora_B.weight": [32, 8]},
          {"target_modules": targets + ["pooler.dense"]}, "lora2")
with_more("with-bias", {"base_model.model.bert.encoder.layer.0.attention.self.query.base_layer.bias": [32]}, {"bias": "lora_only"})
with_more("with-pattern", {}, {"layers_to_transform": [0, 1], "layers_pattern": "layer"})
E3
run 3 whet tune --model with-pooler --train train.tsv --init-adapter with-head --output z
tells 'its adapter of "bert.pooler.dense", which is part of a head, is not trained here'
run 3 whet tune --model "$model" --train train.tsv --init-adapter with-bias --output z
tells 'query.bias" was trained too, and is not here'
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --init-adapter with-pattern --output on --force
run 2 whet tune --model "$model" --train train.tsv --init-adapter lora --rank 4 --output z
tells 'expected one of them'
run 3 whet tune --model "$model" --train train.tsv --init-adapter norms --output z --quiet
run 4 whet tune --model "$model" --train train.tsv --init-adapter nothing --output z --quiet
cp -r "$model" other
python3 -c 'b = bytearray(open("other/model.safetensors", "rb").read())
b[-1] ^= 1
open("other/model.safetensors", "wb").write(b)'
run 3 whet tune --model other --train train.tsv --init-adapter lora --output z --quiet
tells 'expected the model that it was trained on'
absent z

# So is whatever else names nothing, and would be passed by.
misspelt() {
    word=$1
    shift
    run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter more --output w --force "$@"
    tells "$word is the name of no layer"
}
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter more --output w --force --layers 0,9
tells 'layers: 9 is the number of no layer'
misspelt 'exclude: "valeu"' --exclude valeu,key
misspelt 'exclude: ".*valeu"' --exclude 'regex:.*valeu'
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter lora --output w --force --save-modules pooler
quiet_about 'name of no layer'
python3 -c 'from look import names, config
assert config("w")["modules_to_save"] == ["bert.pooler", "classifier"], config("w")["modules_to_save"]
assert "base_model.model.bert.pooler.dense.weight" in names("w")' || fail 'a module is not saved with its parts'
misspelt 'rank pattern: "layer\\.7\\..*"' --rank-pattern 'query=4,layer\.7\..*=8'
misspelt 'blocks pattern: "quary"' --blocks-pattern 'quary=2'
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter lora --output w --force --alpha-pattern 'quary=2'
tells 'alpha pattern: "quary" is the name of no layer'
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter lora --output w --force --exclude key --targets all-linear \
    --save-modules pooler.dense --rank-pattern 'query=4' --alpha-pattern 'layer\.1\..*=3'
quiet_about 'name of no layer'
# One of two targets misspelt is told; none that matches is refused, with the nearest name.
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter lora --targets query,valeu --output w --force
tells '"valeu" is the name of no layer'
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter lora --output w --force --targets query,pooler.dense
tells '"pooler.dense" gets no adapter'
# One line for all kinds.
for kind in more lora dora full bitfit norms; do
    run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter $kind --rank 4 --blocks 4 --targets query,LayerNorm \
        --output w --force
    case $kind in
    more) quiet_about 'passed over' ;;
    *) tells '--blocks is of Monarch adapters, and is passed over' ;;
    esac
done
# The same rule whether --adapter full is said or not, and for --alpha: told, and nothing of the model changes.
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --output bare
for way in '' '--adapter full'; do
    # shellcheck disable=SC2086
    run 0 whet tune --model "$model" --train train.tsv --epochs 1 $way --rank 4 --blocks 4 --alpha 8 --output w --force
    tells '--rank is of adapters, and is passed over; expected --adapter lora, dora or more'
    tells '--blocks is of Monarch adapters, and is passed over; expected --adapter more'
    tells "--alpha is LoRA's and DoRA's, and is passed over; expected --adapter lora or dora"
    cmp -s bare/model.safetensors w/model.safetensors || fail 'what is passed over changes the model'
done
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter more --output bare --force
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --adapter more --alpha 8 --output w --force
tells "--alpha is LoRA's and DoRA's, and is passed over"
cmp -s bare/adapter_model.safetensors w/adapter_model.safetensors || fail '--alpha changes MoRe'
cmp -s bare/adapter_config.json w/adapter_config.json || fail '--alpha changes the folder of MoRe'
mark
# shellcheck disable=SC2086
refused() {
    expected=$1
    words=$2
    shift 2
    run "$expected" whet tune $common --output z "$@"
    tells "$words"
    absent z
}
refused 2 'modules to save: "poler" is the name of no layer' --save-modules poler
refused 2 'did you mean "query"' --adapter lora --targets qeury
refused 2 'targets "query" are there, and all of them are left out by exclusions' --adapter lora --targets query --exclude query
refused 2 'targets "query" are there, and all of them are left out by exclusions' --adapter full --targets query --exclude query
refused 2 'targets "query" have nothing that adapter norms trains; expected modules that have, such as LayerNorm' --adapter norms --targets query
refused 2 'the targets by default are there, and all of them are left out by exclusions' --adapter lora --exclude query,key,value
refused 2 'the targets by default are there, and all of them are left out by modules that are saved whole' --adapter lora --save-modules encoder
refused 2 'targets "all-linear" are there, and all of them are left out by exclusions' --adapter lora --targets all-linear --exclude all-linear
refused 2 'targets "classifier" are of the head, which is trained whatever the targets' --adapter full --targets classifier
refused 2 'is the name of no layer; expected an end of one'"'"'s name, such as word_embeddings or LayerNorm' --head pooled --save-modules pooler
refused 2 'match no layer' --adapter more --targets 'regex:.*\.nothing'
refused 2 'does not compile' --adapter lora --targets 'regex:('
refused 2 'no layer has a number of "7"' --adapter lora --layers 7
refused 2 'layers of a head, which have no adapters here' --adapter lora --targets pooler.dense
refused 2 'expected numbers of layers' --adapter lora --layers 3-1
refused 2 'whole number from 1 to 1024' --adapter lora --rank-pattern query=0
refused 2 'expected adapter more' --adapter lora --blocks-pattern query=2
refused 2 'expected adapter lora or dora' --adapter more --alpha-pattern query=2
refused 2 'expected adapter lora or dora' --adapter norms --rslora
refused 2 'expected adapter lora, dora or more' --adapter bitfit --adapter-dropout 0.1
refused 2 'expected adapter lora, dora or more' --adapter full --second-rate 4
refused 2 'expected adapter lora, dora or more' --adapter norms --rank-pattern query=2
# MoRe whose blocks have a size that was chosen: read off its tensors, run, merged and gone on with.
mkdir wide
python3 - "$model" <<'E'
import json, math, random, struct, sys
random.seed(1)
d = json.load(open(sys.argv[1] + "/config.json"))["hidden_size"]
at, header, body = 0, {}, b""
p = d // 4 + 1
n = math.ceil(d / p)
for layer in range(2):
    for name, shape in (("more_w1", [n, 4, p]), ("more_w2", [n, p, 4])):
        size = 4 * shape[0] * shape[1] * shape[2]
        header[f"base_model.model.encoder.layer.{layer}.attention.self.query.{name}"] = {
            "dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        body += struct.pack(f"<{size // 4}f", *(random.uniform(-1, 1) for _ in range(size // 4)))
        at += size
head = json.dumps(header).encode()
open("wide/adapter_model.safetensors", "wb").write(struct.pack("<Q", len(head)) + head + body)
json.dump({"peft_type": "MORE", "r": 4, "nblocks": n, "target_modules": ["query"]}, open("wide/adapter_config.json", "w"))
E
run 0 whet embed --model "$model" --adapter wide --input train.tsv --column text --output wide.npy
run 0 whet tune merge --model "$model" --adapter wide --output wide-merged
run 0 whet embed --model wide-merged --input train.tsv --column text --output wide-merged.npy
run 0 whet embed --model "$model" --input train.tsv --column text --output plain.npy
run 0 whet tune --model "$model" --train train.tsv --init-adapter wide --epochs 1 --lr 1e-12 --weight-decay 0 --output wide-on
run 0 whet embed --model "$model" --adapter wide-on --input train.tsv --column text --output wide-on.npy
run 0 whet tune --model "$model" --train train.tsv --loss contrastive --init-adapter wide --epochs 1 --lr 1e-12 --weight-decay 0 --output wide-emb
run 0 whet embed --model wide-emb --input train.tsv --column text --output wide-emb.npy
python3 - <<'E' || fail 'an adapter with blocks of its own sizes is another function where it runs than merged'
import struct, sys
def rows(path):
    b = open(path, "rb").read()
    b = b[10 + struct.unpack("<H", b[8:10])[0]:]
    return struct.unpack(f"<{len(b) // 4}f", b)
def apart(a, b): return max(abs(x - y) for x, y in zip(rows(a), rows(b)))
for other in ("wide-merged.npy", "wide-on.npy", "wide-emb.npy"):
    assert apart("wide.npy", other) < 1e-4, (other, apart("wide.npy", other))
assert apart("wide.npy", "plain.npy") > 1e-2
E
finish
