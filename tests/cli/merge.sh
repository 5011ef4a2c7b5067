#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet merge: files and folders in, one model out; recipes; what is refused; a merge that is killed goes on.
. "$(dirname "$0")/lib.sh"

# make NAME SEED [TENSORS]: a .safetensors of TENSORS small tensors, by the standard library alone
make() {
    python3 - "$1" "$2" "${3:-3}" <<'END'
import json, random, struct, sys
path, seed, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
header, data = {}, b""
for i in range(n):
    x = struct.pack("<12f", *[random.gauss(0, 1) for _ in range(12)])
    header[f"model.layers.{i}.w.weight"] = {"dtype": "F32", "shape": [3, 4],
                                            "data_offsets": [len(data), len(data) + len(x)]}
    data += x
text = json.dumps(header).encode()
open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
END
}
make a.safetensors 1
make b.safetensors 2
make base.safetensors 3

run 0 whet merge --methods
says 'ties'
says 'density (1)'
run 0 whet merge --methods --json
json out

run 0 whet merge --method linear --weights 0.25,0.75 a.safetensors b.safetensors --output c.safetensors
says '3 tensors'
present c.safetensors
absent c.safetensors.whet-merge
python3 - <<'END' || fail 'the mean is wrong'
import json, struct
def floats(path):
    bytes_ = open(path, "rb").read()
    n = struct.unpack("<Q", bytes_[:8])[0]
    return struct.unpack("<36f", bytes_[8 + n:])
a, b, c = map(floats, ("a.safetensors", "b.safetensors", "c.safetensors"))
assert all(abs(0.25 * x + 0.75 * y - z) < 1e-6 for x, y, z in zip(a, b, c))
END

# The same bits at any number of threads, for any block, from a recipe; masks are the seed's.
run 0 whet merge --method dare_ties --density 0.5 --base base.safetensors a.safetensors \
    b.safetensors --output d1.safetensors --seed 4 --threads 1
run 0 whet merge --method dare_ties --density 0.5 --base base.safetensors a.safetensors \
    b.safetensors --output d2.safetensors --seed 4 --threads 3 --block 0.001
cmp -s d1.safetensors d2.safetensors || fail 'bits depend on threads or blocks'
run 0 whet merge --method dare_ties --density 0.5 --base base.safetensors a.safetensors \
    b.safetensors --output d3.safetensors --seed 5
cmp -s d1.safetensors d3.safetensors && fail 'the seed changes nothing'
cat >r.yml <<'END'
models:
  - model: a.safetensors
  - model: b.safetensors
base_model: base.safetensors
merge_method: dare_ties
parameters:
  weight: 1
  density: 0.5
END
run 0 whet merge --recipe r.yml --output d4.safetensors --seed 4
cmp -s d1.safetensors d4.safetensors || fail 'the recipe gives another model'
run 0 whet merge --recipe r.yml --set density=1 --set weight:1=0 --output d5.safetensors --dtype bf16
[ "$(wc -c <d5.safetensors)" -lt "$(wc -c <d4.safetensors)" ] || fail '--dtype changes nothing'

# A base that a method does not mix is told of, and changes nothing of the weights; one of the models is mixed.
run 0 whet merge --method linear --base base.safetensors a.safetensors b.safetensors --output l1.safetensors
tells 'no effect on weights with linear'
run 0 whet merge --method linear a.safetensors b.safetensors --output l2.safetensors
quiet
cmp -s l1.safetensors l2.safetensors || fail 'the base changes the mean'
sed 's/dare_ties/linear/; /density/d' r.yml >l.yml
run 0 whet merge --recipe l.yml --output l3.safetensors
tells 'no effect on weights with linear'
cmp -s l1.safetensors l3.safetensors || fail 'the base changes the mean'
sed 's/base_model: base/base_model: a/' l.yml >la.yml
run 0 whet merge --recipe la.yml --output l4.safetensors
quiet_about 'no effect'
cmp -s l1.safetensors l4.safetensors || fail 'the mean is another'
run 0 whet merge --method linear --weights 0,0 --set normalize=false a.safetensors b.safetensors --output l5.safetensors

# A folder, in pieces; then from the pieces.
run 0 whet merge --method slerp --t 0.5 a.safetensors b.safetensors --output dir --shard-size 0.0000001
present dir/model.safetensors.index.json
run 0 whet merge --method passthrough dir --output whole.safetensors
run 0 whet merge --method slerp --t 0.5 a.safetensors b.safetensors --output s.safetensors
cmp -s s.safetensors whole.safetensors || fail 'pieces are not the whole'

# Units in another order are found again: the mean of a network and of itself renumbered is the network.
python3 - <<'END'
import json, random, struct
def write(path, tensors):
    head, data = {}, b""
    for name, (shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}f", *values)
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
random.seed(4)
w0, b0, w1 = ([random.gauss(0, 1) for _ in range(n)] for n in (60, 12, 36))
order = random.sample(range(12), 12)
write("n1.safetensors", {"layer0.weight": ([12, 5], w0), "layer0.bias": ([12], b0), "layer1.weight": ([3, 12], w1)})
write("n2.safetensors", {"layer0.weight": ([12, 5], [w0[5 * u + c] for u in order for c in range(5)]),
                         "layer0.bias": ([12], [b0[u] for u in order]),
                         "layer1.weight": ([3, 12], [w1[12 * r + u] for r in range(3) for u in order])})
END
run 0 whet merge --method linear n1.safetensors --output n1_.safetensors --quiet
run 0 whet merge --method linear --weights 0.5,0.5 --align auto n1.safetensors n2.safetensors --output n3.safetensors --json
says '"distance": 0'
cmp n1_.safetensors n3.safetensors || fail 'the order of units matters'
run 0 whet merge --method linear --align auto n1.safetensors n2.safetensors --output n4.safetensors --dry-run
absent n4.safetensors
run 2 whet merge --method linear --align mpl n1.safetensors n2.safetensors --output n4.safetensors
run 2 whet merge --method linear --restarts 3 n1.safetensors n2.safetensors --output n4.safetensors
run 2 whet merge --method concat --align auto n1.safetensors n2.safetensors --output n4

mark
run 0 whet merge --method ties --base base.safetensors a.safetensors b.safetensors --output dry \
    --dry-run
says 'would have 3 tensors'
says 'memory at most'
run 0 whet merge --method ties --base base.safetensors a.safetensors b.safetensors --output dry \
    --dry-run --json
json out
run 4 whet merge --method linear a.safetensors --output c.safetensors
tells 'exists'
run 2 whet merge --method tise --base base.safetensors a.safetensors --output x.safetensors
tells 'try "ties"'
run 2 whet merge --method ties a.safetensors --output x.safetensors
tells 'no base model'
run 2 whet merge --method ties --base base.safetensors a.safetensors --output x.safetensors \
    --set densty=0.5
tells 'try "density"'
run 2 whet merge --method linear --weights 1,2,3 a.safetensors b.safetensors --output x.safetensors
tells 'one for each of the 2 models'
for method in linear multislerp; do
    run 2 whet merge --method $method --weights 0,0 a.safetensors b.safetensors --output x.safetensors
    tells 'sum to 0'
    run 2 whet merge --method $method --weights 1,-1 a.safetensors b.safetensors --output x --dry-run
    tells 'sum to 0'
done
run 2 whet merge --method linear a.safetensors b.safetensors --output x.safetensors --shard-size 1
tells '--shard-size'
run 2 whet merge --method slerp a.safetensors b.safetensors --output x.safetensors
tells 'no "t"'
run 2 whet merge --method linear a.safetensors
tells 'output'
run 2 whet merge --output x.safetensors
tells 'neither recipe nor method'
run 2 whet merge --method linear --set weight a.safetensors --output x.safetensors
tells 'NAME=NUMBER'
run 2 whet merge --method karcher --set max_iter=2.5 a.safetensors b.safetensors --output x.safetensors
tells '"max_iter" is 2.5; expected a whole number from 1 to 100000'
run 4 whet merge --method linear nowhere --output x.safetensors
tells 'nowhere'
unchanged
sed 's/density/densty/' r.yml >bad.yml
sed 's/merge_method/merge_methd/' r.yml >bad2.yml
printf 'models: [\n' >bad3.yml
make other.safetensors 1 2
head -c 100 a.safetensors >cut.safetensors
mark
run 3 whet merge --recipe bad.yml --output x.safetensors
tells 'bad.yml:8'
tells 'density'
for slip in 's/merge_method: .*/merge_method: tise/' 's/^base_model.*//' 's/density: .*/density: 2/'; do
    sed "$slip" r.yml >bad.yml
    run 3 whet merge --recipe bad.yml --output x.safetensors
    tells 'bad.yml'
done
run 4 whet merge --method linear a.safetensors none1 none2.safetensors --output x.safetensors
tells 'none1, none2.safetensors: cannot be examined: No such file'
run 3 whet merge --recipe bad2.yml --output x.safetensors
tells 'expected "merge_method"'
run 3 whet merge --recipe bad3.yml --output x.safetensors
run 2 whet merge --recipe r.yml a.safetensors --output x.safetensors
run 3 whet merge --method linear a.safetensors other.safetensors --output x.safetensors
tells 'missing in other.safetensors'
run 3 whet merge --method linear a.safetensors cut.safetensors --output x.safetensors
unchanged

# Adapters: concatenated, or cut to a rank; never their factors apart.
mkdir -p l1 l2
for i in 1 2; do
    echo '{"peft_type": "LORA", "r": 2, "lora_alpha": 4}' >l$i/adapter_config.json
    python3 - l$i/adapter_model.safetensors $i <<'END'
import json, random, struct, sys
random.seed(int(sys.argv[2]))
header, data = {}, b""
for name, shape in (("m.lora_A.weight", [2, 5]), ("m.lora_B.weight", [4, 2])):
    x = struct.pack(f"<{shape[0] * shape[1]}f", *[random.gauss(0, 1) for _ in range(shape[0] * shape[1])])
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(x)]}
    data += x
text = json.dumps(header).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data)
END
done
run 0 whet merge --method concat --weights 0.5,0.5 l1 l2 --output lsum
says '1 layers of rank 4'
run 0 whet merge --method svd --rank 2 l1 l2 --output lcut --json
json out
run 4 whet merge --method linear l1 l2 --output lin
tells 'MODEL+ADAPTER'
run 2 whet merge --method concat l1 l2 --dtype bf16 --output lin
run 2 whet merge --method concat l1 l2 --rank 2 --output lin
run 2 whet merge --method concat l1 l2 --shard-size 1 --output lin
tells '--shard-size has no meaning with adapters'
run 2 whet merge --method svd l1 l2 --recipe r.yml --output lin
absent lin

# Tokens that one model lacks take what the recipe says: x of t2 (6) for a, also in t1; 0 for x in t1.
python3 - <<'END'
import json, os, struct
for name, vocab, rows in (("t1", {"a": 0, "b": 1}, (1, 2)), ("t2", {"b": 0, "x": 1}, (4, 6))):
    os.mkdir(name)
    json.dump({"model": {"vocab": vocab}}, open(f"{name}/tokenizer.json", "w"))
    text = json.dumps({"lm_head.weight": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}}).encode()
    open(f"{name}/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text +
                                                  struct.pack("<2f", *rows))
END
cat >tokens.yml <<'END'
models: [{model: t1, parameters: {weight: 1}}, {model: t2, parameters: {weight: 1}}]
merge_method: linear
tokenizer:
  pad_to_multiple_of: 4
  tokens:
    a: {source: {kind: model_token, model: t2, token: x}, force: true}
    x: {source: {kind: zero}}
END
run 0 whet merge --recipe tokens.yml --output words
python3 - <<'END' || fail 'tokens have other vectors'
import struct
assert struct.unpack("<4f", open("words/model.safetensors", "rb").read()[-16:]) == (6, 3, 3, 0)
END
sed 's/token: x/token: q/' tokens.yml >bad4.yml
run 3 whet merge --recipe bad4.yml --output none
tells 'bad4.yml:6: token "a": t2 has no token "q"'
sed 's/token: x/token: x, token_id: 1/' tokens.yml >bad5.yml
run 3 whet merge --recipe bad5.yml --output none
tells 'has both'
absent none

# Killed somewhere in 4,000 tensors, it goes on.
make m1.safetensors 1 4000
make m2.safetensors 2 4000
run 0 whet merge --method linear m1.safetensors m2.safetensors --output want.safetensors
"$whet" merge --method linear m1.safetensors m2.safetensors --output got.safetensors --quiet &
pid=$!
tries=0
while [ ! -s got.safetensors.whet-merge/done.txt ] && [ $tries -lt 1000 ]; do
    sleep 0.01
    tries=$((tries + 1))
done
kill -KILL $pid
wait $pid 2>/dev/null
if [ ! -e got.safetensors ]; then # else it was too quick to be killed
    present got.safetensors.whet-merge/done.txt
    run 0 whet merge --method linear m1.safetensors m2.safetensors --output got.safetensors
fi
cmp -s want.safetensors got.safetensors || fail 'what went on is another model'
absent got.safetensors.whet-merge
finish
