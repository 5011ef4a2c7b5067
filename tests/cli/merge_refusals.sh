#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet merge: adapters that hold more than is added, slices that do not stack, weights left from before,
# tensors of a few numbers, networks that cannot be run.
. "$(dirname "$0")/lib.sh"

cat >make.py <<'END'
import json, os, struct, sys

def write(path, tensors):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        bits = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)

def ramp(*shape):
    n = 1
    for d in shape:
        n *= d
    return list(shape), [.1 * i for i in range(n)]

def read(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    return {k: struct.unpack(f"<{(v['data_offsets'][1] - v['data_offsets'][0]) // 4}f",
                             data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]])
            for k, v in header.items() if k != "__metadata__"}

def adapter(folder, tensors, **config):
    write(folder + "/adapter_model.safetensors", {"base_model.model." + k: v for k, v in tensors.items()})
    json.dump({"peft_type": "LORA", "r": 2, "lora_alpha": 2, **config}, open(folder + "/adapter_config.json", "w"))

if __name__ == "__main__":
    a, b = ramp(2, 5), ramp(4, 2)
    write("m.safetensors", {"x.fc.weight": ramp(4, 5), "emb.weight": ramp(7, 5)})
    adapter("plain", {"x.fc.lora_A.weight": a, "x.fc.lora_B.weight": b}, alpha_pattern={r".*\.fc": 6, "fc": 100})
    adapter("low", {"x.fc.lora_A.weight": a, "x.fc.lora_B.weight": b}, rank_pattern={"fc": 3})
    adapter("other", {"x.fc.lora_A.weight": a, "x.fc.lora_B.weight": b}, peft_type="LOHA")
    adapter("short", {"x.fc.lora_A.weight": a, "x.fc.lora_B.weight": ramp(1, 2)})
    adapter("turned", {"x.fc.lora_A.weight": a, "x.fc.lora_B.weight": b}, fan_in_fan_out=True)
    adapter("head", {"x.fc.lora_A.weight": a, "x.fc.lora_B.weight": b, "classifier.weight": ramp(3, 5)})
    adapter("words", {"x.fc.lora_A.weight": a, "x.fc.lora_B.weight": b, "emb.lora_embedding_A": ramp(2, 7),
                      "emb.lora_embedding_B": ramp(5, 2)})
    for name, width, words in (("s", 4, 6), ("wide", 6, 6), ("more", 4, 8)):
        layers = {f"model.layers.{i}.w.weight": ramp(width, width) for i in range(2)}
        write(name + ".safetensors", {"model.embed_tokens.weight": ramp(words, width), **layers,
                                      "lm_head.weight": ramp(words, width)})
    write("few.safetensors", {"v": ([3], [3, 0, 0]), "one": ([], [2.])})
    write("negative.safetensors", {"v": ([3], [1, -1e-3, 1]), "one": ([], [1.])})
    write("zero.safetensors", {"v": ([3], [0, 0, 0]), "one": ([], [1.])})
    gap = {f"layer{i}.{k}": v for i in (0, 1, 3) for k, v in (("weight", ramp(4, 4)), ("bias", ramp(4)))}
    write("gap.safetensors", gap)
    for name, width in (("narrow", 4), ("broad", 6)):
        write(name + ".safetensors", {f"layer{i}.a_name_of_some_length.weight": ramp(width, width) for i in range(120)})
    adapter("one", {"x.fc.lora_A.weight": a, "x.fc.lora_B.weight": b}, target_modules=["fc"], layers_to_transform=[0])
    adapter("two", {"y.fd.lora_A.weight": a, "y.fd.lora_B.weight": b, "classifier.weight": ramp(3, 5)}, target_modules=["fd"],
            modules_to_save=["classifier"], layers_to_transform=[1])
    adapter("all", {"y.fd.lora_A.weight": a, "y.fd.lora_B.weight": b}, target_modules="all-linear")
    open("x.npy", "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) +
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }".ljust(117).encode() + b"\n" + struct.pack("<12f", *range(12)))
    open("y.npy", "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) +
        "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }".ljust(117).encode() + b"\n" + struct.pack("<3q", 0, 1, 2))
END
python3 make.py || fail 'nothing is made'

# The first pattern that fits counts, as PEFT says: alpha 6 of rank 2.
run 0 whet merge --method passthrough m.safetensors+plain --output sum.safetensors
python3 - <<'END' || fail 'the addition is wrong'
from make import read, ramp
got, w = read("sum.safetensors")["x.fc.weight"], ramp(4, 5)[1]
a, b = ramp(2, 5)[1], ramp(4, 2)[1]
want = [w[5 * i + j] + 3 * sum(b[2 * i + r] * a[5 * r + j] for r in range(2)) for i in range(4) for j in range(5)]
assert all(abs(x - y) < 1e-5 for x, y in zip(got, want)), (got, want)
END

mark
run 3 whet merge --method passthrough m.safetensors+short --output z.safetensors
tells 'layer "x.fc" [1, 5] is not in m.safetensors'
run 3 whet merge --method passthrough m.safetensors+turned --output z.safetensors
tells '"fan_in_fan_out" is set'
run 3 whet merge --method passthrough m.safetensors+head --output z.safetensors
tells 'classifier.weight" is neither lora_A nor lora_B'
run 3 whet merge --method passthrough m.safetensors+words --output z.safetensors
tells 'lora_embedding_A" is neither'
run 3 whet merge --method passthrough m.safetensors+low --output z.safetensors
tells 'low/adapter_config.json: lora_A of "x.fc" has 2 rows; expected the 3 that "r" and "rank_pattern" say'
run 3 whet merge --method passthrough m.safetensors+other --output z.safetensors
tells 'an adapter of type "LOHA"; expected LORA'
run 2 whet merge --method concat plain --output z.safetensors
tells 'z.safetensors: adapters are merged to a folder'
for method in concat svd; do
    run 3 whet merge --method $method plain low --output z
    tells 'low/adapter_config.json: lora_A of'
    run 3 whet merge --method $method words plain --output z
    tells 'lora_embedding_A" is of a table of words'
done

run 3 whet merge --method concat one all --output z
tells '"target_modules" is another than in one'
unchanged
run 0 whet merge --method concat one two --output united
python3 -c 'import json
c = json.load(open("united/adapter_config.json"))
assert c["target_modules"] == ["fc", "fd"] and c["modules_to_save"] == ["classifier"] and c["layers_to_transform"] == [0, 1], c' ||
    fail 'the configuration lacks what the second has'
mark

# A model twice is two.
run 0 whet merge --method linear s.safetensors s.safetensors --output z.safetensors --dry-run
says 'by linear of 2 models'

# Slices of other sizes do not stack; tables of words only matter at the ends.
recipe() {
    printf 'merge_method: passthrough\nslices:\n' >r.yml
    for part in "$@"; do
        printf '  - sources:\n      - model: %s.safetensors\n        layer_range: [0, 2]\n' "$part" >>r.yml
    done
}
unchanged
recipe s wide
run 3 whet merge --recipe r.yml --output z.safetensors
tells '"model.layers.0.w.weight" is [4, 4] in s.safetensors and [6, 6] in wide.safetensors'
recipe s more
run 3 whet merge --recipe r.yml --output z.safetensors
tells '"lm_head.weight" has 6 tokens in s.safetensors and 8 in more.safetensors'
absent z.safetensors
recipe s more s
run 0 whet merge --recipe r.yml --output stacked.safetensors

# What was there in other files is not left in force.
run 0 whet merge --method passthrough s.safetensors --output folder
run 0 whet merge --method passthrough wide.safetensors --output folder --force --shard-size 0.0000002
absent folder/model.safetensors
present folder/model.safetensors.index.json
run 0 whet merge --method passthrough s.safetensors --output folder --force
absent folder/model.safetensors.index.json
absent folder/model-00001-of-00002.safetensors

# What a run with other files left goes with it.
mkdir left.whet-merge
cp s.safetensors left.whet-merge/model-00001-of-00009.safetensors
run 0 whet merge --method passthrough s.safetensors --output left
absent left.whet-merge

# Settings that do not go together are told from the headers.
cp s.safetensors s2.safetensors
run 2 whet merge --method della --density 0.1 --base s.safetensors s2.safetensors --output z.safetensors --dry-run
tells 'density 0.1 and epsilon 0.15'
run 2 whet merge --method fisher --weights 1,-1 --importance s.safetensors,s.safetensors s.safetensors s.safetensors \
    --output z.safetensors --dry-run
tells 'weight -1; expected at least 0'

# Options that would be passed over, or contradict each other.
printf 'merge_method: linear\nmodels: [{model: s.safetensors}, {model: s2.safetensors}]\n' >two.yml
printf 'merge_method: linear\nslices: [{sources: [{model: s.safetensors, layer_range: [0, 1]}]}]\n' >cut.yml
mark
two() { run 2 whet merge --output z.safetensors "$@"; }
linear() { two --method linear s.safetensors s2.safetensors "$@"; }
linear --rank 3
tells '--rank is of adapters; expected --method svd'
for option in --weights=1,2 --weights=1 --importance=s.safetensors --base=s.safetensors; do
    two --recipe two.yml $option
    tells 'is of models on the command line, and --recipe has its own'
done
linear --set weight:-1=2
tells '--set is "weight:-1=2"; expected NAME=NUMBER or NAME:MODEL=NUMBER, models from 0'
linear --set weight:2=2
tells 'of model 2; expected one of 2, from 0'
linear --set normalize:0=1
tells 'of model 0; expected it for all, as it is no model'
two --recipe cut.yml --set weight=1 --set weight:0=2
tells 'expected it for all, as slices have models of their own'
linear --set weight=1 --set weight=2
tells '"weight" is given again'
linear --weights 1,2 --set weight:1=3
linear --set weight:1=3 --set weight=1
two --method slerp s.safetensors s2.safetensors --t 0.1 --set t=0.2
tells '"t" is given again'
two --methods
tells '--methods lists, and merges nothing'
two --method linear s.safetensors --align auto
tells 's.safetensors alone is merged'
unchanged
run 0 whet merge --method linear s.safetensors s2.safetensors --set weight=1 --set weight:1=3 --output z.safetensors
run 0 whet merge --recipe two.yml --set weight=1 --set weight:1=3 --output z2.safetensors
cmp -s z.safetensors z2.safetensors || fail 'other weights'
rm z.safetensors z2.safetensors

# Information is of a file and a tensor, which are told where it is negative; gradients may be.
run 3 whet merge --method fisher --importance few.safetensors,negative.safetensors few.safetensors few.safetensors \
    --output z.safetensors
tells 'negative.safetensors: tensor "v" is negative at [1]; expected importances of at least 0'
absent z.safetensors
run 0 whet merge --method gradient --importance few.safetensors,negative.safetensors few.safetensors few.safetensors \
    --output z.safetensors
rm z.safetensors

# Quartiles of a few numbers: importance 3 d, 0, 0 of the vector is above them, one number is all there is.
run 0 whet merge --method arcee_fusion --base zero.safetensors few.safetensors --output fused.safetensors
python3 - <<'END' || fail 'arcee_fusion passes small tensors by'
from make import read
got = read("fused.safetensors")
assert got["v"] == (3, 0, 0) and got["one"] == (2,), got
END

# Of much that does not fit a sentence tells what there is room for, and how much more.
mark
run 3 whet merge --method linear narrow.safetensors broad.safetensors --output z.safetensors
tells '120 tensors do not fit: "layer0.a_name_of_some_length.weight" is [4, 4] in narrow.safetensors and [6, 6] in broad'
tells '; expected models of one architecture'
grep -q '; and 1[0-9][0-9] more;' "$work/.err" || fail 'what is left out is not counted'
run 3 whet align narrow.safetensors broad.safetensors --arch mlp --output z.safetensors
tells 'networks do not fit: '
tells ' more; expected the tensors of the specification in both'
unchanged

# What is read is not written over, also with --force: one file, a folder, one in the other, a recipe's.
mkdir mine && cp narrow.safetensors mine/model.safetensors
printf 'merge_method: linear\nmodels:\n  - model: mine\n    parameters: {weight: 1}\n' >mine.yml
mark
run 2 whet merge --method linear narrow.safetensors narrow.safetensors --output narrow.safetensors --force
tells 'narrow.safetensors: the output would take the place of narrow.safetensors, which is read; expected another path'
run 2 whet merge --method linear mine mine --output mine/model.safetensors --force
run 2 whet merge --method linear mine/model.safetensors narrow.safetensors --output mine --force
run 2 whet merge --recipe mine.yml --output ./mine --force
tells './mine: the output would take the place of mine'
run 2 whet merge --method ties --density .5 --weights 1 --base mine narrow.safetensors --output mine --force
run 2 whet merge --method linear mine mine --output mine/model-00001-of-00002.safetensors --force
tells 'mine/model-00001-of-00002.safetensors: the output would take the place of mine'
unchanged

# Layers are in the order of their numbers, whatever those are: all three are run.
run 0 whet align gap.safetensors gap.safetensors --arch mlp --method activations --barrier --data x.npy --labels y.npy --output z.safetensors
says 'of      4 units moved  layer1'
finish
