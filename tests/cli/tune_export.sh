#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet tune export, merge, combine, project, inspect: adapters that were trained, in other forms, added up, in
# their model; and what training changed as adapters.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 40; i++) printf "%s video number %d\t%s\n", i % 2 ? "good" : "bad", i, i % 2 ? "yes" : "no" }' >train.tsv
run 0 whet tune --model "$model" --train train.tsv --epochs 2 --lr 0.01 --adapter more --rank 4 --blocks 4 --output tuned --quiet

run 0 whet tune inspect tuned
says 'more: 6 layers'
says 'heads: bert.pooler.dense.bias, bert.pooler.dense.weight, classifier.bias, classifier.weight'
grep -q '"bert.pooler.dense"' tuned/adapter_config.json || fail 'a pooler that is new is not told'
run 0 whet tune inspect tuned --json
json out
says '"base_hash"'
grep -q '"whet_base"' tuned/adapter_config.json || fail 'training does not tell its base'

run 0 whet tune export --adapter tuned --to lora --output lora
says 'nothing is lost'
run 0 whet tune inspect lora
says 'lora: 6 layers'
grep -q '"r": 16' lora/adapter_config.json || fail 'the rank is not N r'
run 0 whet tune export --adapter tuned --model "$model" --to lora --rank 3 --output small --json
json out
says '"residual": 0.'
run 0 whet tune export --adapter lora --to more --output more
says 'nothing is lost'

# Merged: a model by itself, which embeds and can be tuned on; MoRe and the LoRA that it is give the same one.
run 0 whet tune merge --model "$model" --adapter tuned --output merged
says 'of the last hidden states'
for file in model.safetensors config.json tokenizer.json merge.json; do present merged/$file; done
run 0 whet tune merge --model "$model" --adapter lora --output merged-lora --json
json out
run 0 python3 -c '
import json
for name in ["merged", "merged-lora"]:
    probe = json.load(open(name + "/merge.json"))["probe"]
    for part in probe.values(): assert part["max_difference"] < 1e-5 * part["largest"], part
config = json.load(open("merged/config.json"))
assert config["id2label"] == {"0": "no", "1": "yes"} and config["architectures"] == ["BertForSequenceClassification"]'
run 0 whet embed --model merged --input train.tsv --output e.npy --quiet
run 0 whet tune --model merged --train train.tsv --epochs 1 --output again --quiet
run 0 whet tune merge --model "$model" --adapter tuned=0.5 --dtype bf16 --probe train.tsv --output half
says '40 texts'
# Adapters that lie beside the base are not its: their settings stay behind, the base's own files come along.
cp -r "$model" beside && chmod -R u+w beside && cp tuned/adapter_* beside && echo hello >beside/notes.txt
run 0 whet tune merge --model beside --adapter tuned --output merged-beside
present merged-beside/notes.txt
absent merged-beside/adapter_config.json
absent merged-beside/adapter_model.safetensors
cmp -s merged/model.safetensors merged-beside/model.safetensors || fail 'what lies beside the base changes the model'
# Without a head the adapter is in a subfolder, and the model it was merged into beside it: the same weights.
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --loss contrastive --adapter lora --output embeds --quiet
run 0 whet tune merge --model "$model" --adapter embeds --output embeds-merged
run 0 whet embed --model embeds --input train.tsv --output a.npy --quiet
run 0 whet embed --model embeds-merged --input train.tsv --output b.npy --quiet
cmp -s a.npy b.npy || fail 'the merged model is another one than that of training'
run 0 whet tune merge --model "$model" --adapter embeds=0.25 --adapter embeds=0.75 --output twice
says 'of the last hidden states'
run 0 python3 -c '
import json
for part in json.load(open("twice/merge.json"))["probe"].values(): assert part["max_difference"] < 1e-5 * part["largest"], part'

# Biases, or norms, alone: weights of the model itself, merged to the bits that training wrote.
for kind in bitfit norms; do
    run 0 whet tune --model "$model" --train train.tsv --epochs 2 --lr 0.01 --loss contrastive --adapter $kind --output own-$kind --quiet
    run 0 whet tune merge --model "$model" --adapter own-$kind --output merged-$kind
    says 'of biases and norms'
    says 'unmerged|: 0 of the last'
    run 0 whet embed --model own-$kind --input train.tsv --output $kind-a.npy --quiet
    run 0 whet embed --model merged-$kind --input train.tsv --output $kind-b.npy --quiet
    cmp -s $kind-a.npy $kind-b.npy || fail "merged $kind are another model than that of training"
done
cmp -s bitfit-a.npy norms-a.npy && fail 'both kinds train the same model'
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --lr 0.01 --adapter norms --output norms-head --quiet
run 0 whet tune inspect norms-head
says 'norms: 0 layers, 320 numbers'
run 0 whet tune merge --model "$model" --adapter norms-head --adapter own-bitfit=0.5 --output merged-own
says '4 tensors of heads, 22 of biases and norms'
run 0 whet embed --model merged-own --input train.tsv --output own.npy --quiet

# Added up: the same adapter twice at half is itself, and stays MoRe.
run 0 whet tune combine --adapter tuned=0.5 --adapter tuned=0.5 --output sum
says 'nothing is lost'
run 0 whet tune merge --model "$model" --adapter sum --output merged-sum
run 0 whet embed --model merged-sum --input train.tsv --output c.npy --quiet
run 0 python3 -c '
import array
a, b = (array.array("f", open(name, "rb").read()[128:]) for name in ("e.npy", "c.npy"))
assert max(abs(x - y) for x, y in zip(a, b)) < 1e-5'
run 0 whet tune combine --adapter tuned --adapter lora=-1 --to lora --rank 2 --output less --json
json out
# Biases are the base's, changed: without it they have one weight.
cp -r lora biased
python3 - <<'E2'
import json, struct
path = "biased/adapter_model.safetensors"
data = open(path, "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + n])
name = next(k for k in header if k.endswith("query.lora_B.weight"))
out = header[name]["shape"][0]
end = len(data) - 8 - n
header[name.replace("lora_B.weight", "base_layer.bias")] = {"dtype": "F32", "shape": [out], "data_offsets": [end, end + 4 * out]}
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(path, "wb").write(struct.pack("<Q", len(text)) + text + data[8 + n:] + struct.pack(f"<{out}f", *[.25] * out))
config = json.load(open("biased/adapter_config.json"))
config["bias"] = "lora_only"
json.dump(config, open("biased/adapter_config.json", "w"))
E2
run 2 whet tune combine --adapter biased=0.5 --output biased-half
tells 'query.bias" is of weight 0.5'
absent biased-half
run 0 whet tune combine --adapter biased --output whole
run 0 whet tune combine --adapter tuned=1e6 --output large
# A base of whole numbers (quantised) has no place for changes.
cp -r "$model" bytes && chmod -R u+w bytes
python3 - <<'E4'
import json, struct
path = "bytes/model.safetensors"
data = open(path, "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + n])
values, at = b"", 0
for name, v in header.items():
    if name == "__metadata__":
        continue
    piece = data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]
    if name.endswith("query.weight"):
        v["dtype"], piece = "I8", piece[:len(piece) // 4]
    v["data_offsets"] = [at, at + len(piece)]
    values += piece
    at += len(piece)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(path, "wb").write(struct.pack("<Q", len(text)) + text + values)
E4
run 3 whet tune merge --model bytes --adapter tuned --any-base --output bytes-merged
tells 'is of i8 numbers in the base'
absent bytes-merged
# Two with heads of their own: whose, is said.
run 0 whet tune --model "$model" --train train.tsv --epochs 1 --lr 0.01 --adapter lora --rank 4 --output tuned2 --quiet
mark
run 2 whet tune combine --adapter lora=0.5 --adapter tuned2=0.5 --output heads
tells 'expected heads of one adapter'
run 2 whet tune merge --model "$model" --adapter tuned=0.5 --adapter tuned2=0.5 --output heads
tells 'expected heads of one adapter'
run 2 whet tune combine --adapter lora --adapter tuned2 --heads-of tuned --output heads
tells 'none of the adapters'
run 2 whet embed --model "$model" --adapter tuned=nan --input train.tsv --output heads
tells 'weight nan of adapter 1'
run 2 whet tune merge --model "$model" --adapter tuned=1e300 --output heads
tells 'weight 1e+300 of adapter 1'
unchanged
run 0 whet tune combine --adapter lora=0.5 --adapter tuned2=0.5 --heads-of ./tuned2/ --output heads
run 0 whet tune merge --model "$model" --adapter heads --output merged-heads-1
run 0 whet tune merge --model "$model" --adapter tuned=0.5 --adapter tuned2=0.5 --heads-of tuned2 --output merged-heads-2
run 0 whet embed --model "$model" --adapter tuned=0.5 --adapter tuned2=0.5 --heads-of tuned2 --input train.tsv --output heads.npy --quiet
run 0 python3 - <<'E3'
import array, json, struct
def tensors(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    return {k: array.array("f", data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]])
            for k, v in json.loads(data[8:8 + n]).items() if k != "__metadata__" and v["dtype"] == "F32"}
head = tensors("tuned2/adapter_model.safetensors")["base_model.model.classifier.weight"]
one, two = (tensors(f"merged-heads-{k}/model.safetensors") for k in (1, 2))
assert one["classifier.weight"] == head and two["classifier.weight"] == head
assert one.keys() == two.keys()
assert max(abs(x - y) for k in one for x, y in zip(one[k], two[k])) < 1e-6
E3

# DoRA: written again as it is, added up with others over the base's rows, at a smaller rank, as LoRA's nearest.
for seed in 1 2; do
    run 0 whet tune --model "$model" --train train.tsv --epochs 2 --lr 0.01 --loss contrastive --adapter dora --rank 3 --seed $seed --output dora$seed --quiet
done
run 0 whet tune export --adapter dora1 --to dora --output dora
says 'nothing is lost'
run 0 whet tune export --adapter embeds --model "$model" --to dora --output lora-as-dora
run 0 whet tune combine --model "$model" --adapter dora1=0.5 --adapter dora2=0.7 --adapter embeds=-0.4 --output dora-sum
says 'nothing is lost'
run 0 whet tune inspect dora-sum
says 'dora: 6 layers'
grep -q '"r": 14' dora-sum/adapter_config.json || fail 'the rank is not the sum of ranks'
run 0 whet tune merge --model "$model" --adapter dora-sum --output merged-dora-1
run 0 whet tune merge --model "$model" --adapter dora1=0.5 --adapter dora2=0.7 --adapter embeds=-0.4 --output merged-dora-3
says 'of the last hidden states'
for n in 1 3; do run 0 whet embed --model merged-dora-$n --input train.tsv --output dora$n.npy --quiet; done
run 0 python3 -c '
import array
a, b = (array.array("f", open(name, "rb").read()[128:]) for name in ("dora1.npy", "dora3.npy"))
assert max(abs(x - y) for x, y in zip(a, b)) < 1e-5'
run 0 whet tune combine --model "$model" --adapter dora1 --adapter dora2 --rank 4 --output dora-small --json
json out
says '"residual": 0.'
run 0 whet tune project --model "$model" --adapter dora1 --to lora --rank 8 --output dora-lora
says 'residual 0.'

# Full tuning as adapters: ranks by layer under a budget, what is left out is told.
run 0 whet tune --model "$model" --train train.tsv --epochs 2 --lr 0.01 --output full --quiet
run 0 whet tune project --model "$model" --tuned full --budget 3000 --blocks 2 --output projected
says 'are left out'
run 0 whet tune project --model "$model" --tuned full --to lora --rank 4 --targets query,value --output projected-lora --json
json out
run 0 whet tune project --model "$model" --tuned full --to lora --rank 4 --targets query,valu --output some-targets
tells 'targets: "valu" is the name of no layer'
run 0 whet tune merge --model "$model" --adapter projected --output merged-projected
run 0 whet embed --model merged-projected --input train.tsv --output d.npy --quiet

cp -r tuned2 odd
python3 -c 'import json
c = json.load(open("odd/adapter_config.json")); c["alpha_pattern"] = {"query": -3}
json.dump(c, open("odd/adapter_config.json", "w"))'
mkdir wider
python3 - "$model" <<'EOF'
import json, os, struct, sys
b = open(sys.argv[1] + "/model.safetensors", "rb").read()
n = struct.unpack("<Q", b[:8])[0]
head, data = json.loads(b[8:8 + n]), b[8 + n:]
for name, t in head.items():
    if name.endswith("layer.1.attention.self.key.weight"):
        t["shape"] = [16, 64]
text = json.dumps(head).encode()
open("wider/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
open("wider/config.json", "wb").write(open(sys.argv[1] + "/config.json", "rb").read())
EOF
mark
run 4 whet tune export --adapter tuned --to lora --output lora
tells '--force'
run 2 whet tune export --adapter tuned --to lora --output z --blocks 4
run 2 whet tune export --adapter tuned --to lora --output z --rank 9999
tells 'expected at most'
run 2 whet tune export --adapter tuned --output z
tells '--to'
run 4 whet tune export --adapter nowhere --to lora --output z
run 4 whet tune merge --model "$model" --adapter tuned --output merged
tells '--force'
run 2 whet tune merge --model "$model" --adapter tuned --adapter tuned2 --output z
tells 'heads of one adapter'
run 6 whet tune merge --model "$model" --adapter large=1e6 --dtype f16 --output z
tells 'not finite in f16'
run 2 whet tune project --model "$model" --tuned full --output z
tells '--budget'
run 2 whet tune project --model "$model" --tuned full --adapter tuned --rank 2 --output z
run 2 whet tune project --model "$model" --tuned full --budget 10 --output z
tells 'room for no layer'
run 3 whet tune project --model "$model" --tuned "$model" --rank 4 --output z
tells 'has changed'
run 3 whet tune project --model "$model" --adapter odd --rank 4 --output z
tells '"alpha_pattern" has -3; expected numbers above 0'
# Targets of no layer, with the nearest name; of some, told; another model is no tuned one.
run 2 whet tune project --model "$model" --tuned full --targets qeury --rank 4 --output z
tells 'targets "qeury" match no layer (did you mean "query"?)'
run 2 whet tune project --model "$model" --adapter tuned --targets 'regex:.*nothing' --rank 4 --output z
tells 'match no layer'
run 3 whet tune project --model "$model" --tuned wider --rank 4 --output z
tells 'in the tuned model and [32, 32] in the base; expected the same shape'
run 4 whet tune combine --adapter tuned --adapter nowhere --output z
run 2 whet tune combine --adapter dora1 --adapter embeds --output z
tells "need the base's rows; expected the base; try --model"
run 2 whet tune export --adapter embeds --to dora --output z
tells '--model'
run 3 whet tune export --adapter dora1 --to lora --output z
tells 'whet tune project --adapter'
run 2 whet tune combine --adapter dora1 --any-base --output z
run 3 whet tune combine --adapter own-norms --adapter tuned --output z
tells 'weights of the model itself (norms)'
run 3 whet tune export --adapter own-norms --to lora --output z
run 3 whet tune --model "$model" --train train.tsv --init-adapter own-norms --output z
tells 'expected LoRA, DoRA or MoRe'
run 4 whet tune inspect nowhere
tells 'nowhere'
unchanged
# Another base: one number of it is another one.
cp -r "$model" other && chmod -R u+w other
run 0 python3 -c '
import sys
b = bytearray(open("other/model.safetensors", "rb").read()); b[-1] ^= 1
open("other/model.safetensors", "wb").write(b)'
mark
run 3 whet tune merge --adapter tuned --model other --output z
tells 'the model that it was trained on'
run 3 whet tune export --adapter tuned --model other --to lora --output z
tells 'the model that it was trained on'
unchanged
run 0 whet tune export --adapter tuned --model other --any-base --to lora --output z
tells 'is for a base'
# A disk that is full leaves nothing.
if [ -w /dev/shm ] && command -v prlimit >/dev/null; then
    mark
    run 4 prlimit --fsize=2000 "$whet" tune export --adapter tuned --to lora --output full
    run 4 prlimit --fsize=60000 "$whet" tune merge --model "$model" --adapter tuned --output full
    unchanged
fi
finish
