#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet align --arch S.json of transformers: the specification is verified by running them; and encoders without a head,
# whose embeddings come in another order.
. "$(dirname "$0")/lib.sh"
golden=$WHET_TEST_SOURCE/tests/golden

# Another model of the same shapes: `other FROM TO`.
cat >other.py <<'PY'
import os, random, shutil, struct, sys
source, target = sys.argv[1:]
raw = open(source + '/model.safetensors', 'rb').read()
n = struct.unpack('<Q', raw[:8])[0]
random.seed(5)
count = (len(raw) - 8 - n) // 4
os.mkdir(target)
with open(target + '/model.safetensors', 'wb') as f:
    f.write(raw[:8 + n] + struct.pack('<%df' % count, *(random.gauss(0, .1) for _ in range(count))))
for name in ('config.json', 'tokenizer.json'):
    if os.path.exists(source + '/' + name):
        shutil.copy(source + '/' + name, target)
PY
# Changes a specification: `change FROM TO CODE`, where s is the document.
cat >change.py <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
exec(sys.argv[3])
json.dump(s, open(sys.argv[2], 'w'))
PY

for folder in text_models/bert text_models/roberta text_models/distilbert llama/llama llama/llama3 llama/mistral llama/qwen2; do
    model=$golden/$folder
    name=$(basename $folder)
    python3 other.py "$model" "b_$name"
    run 0 whet align "$model" "b_$name" --save-spec $name.json --output o_$name
    quiet_about 'embeddings'
    run 0 whet align "$model" "b_$name" --arch $name.json --output again_$name
    quiet
    cmp -s o_$name/model.safetensors again_$name/model.safetensors || fail "$name: its saved specification does something else"
done

# A wrong axis, a group too free, other heads: nothing is written.
mark
python3 change.py llama.json w1.json 's["tensors"]["model.layers.1.mlp.down_proj.weight"][1] = None'
python3 change.py llama.json w2.json 's["groups"]["heads.0"]["free_keys"] = True'
python3 change.py llama.json w3.json 's["groups"]["heads.0"] |= {"heads": 2, "kv_heads": 1, "head_size": 8}'
python3 change.py llama.json w4.json 's["tensors"]["lm_head.weight"][0] = "vocab"; s["groups"]["vocab"] = {}'
python3 change.py bert.json w5.json 't = s["tensors"]; t["bert.encoder.layer.0.attention.self.value.bias"] = [None]'
mark
llama=$golden/llama/llama
run 3 whet align $llama b_llama --arch w1.json --output o
tells 'w1.json: specification: drawn permutations of "inner.1" change hidden states of layer 1'
run 3 whet align $llama b_llama --arch w2.json --output o
tells 'w2.json: specification: drawn permutations of "heads.0" change hidden states of layer 0'
run 3 whet align $llama b_llama --arch w3.json --output o
tells 'group "heads.0" has 2 heads, 1 of keys and values, of 8 numbers; expected the network'
run 3 whet align $llama b_llama --arch w4.json --output o
tells 'tensor "lm_head.weight": axis 0 is of "vocab", and numbers tokens, positions or classes'
run 3 whet align $golden/text_models/bert b_bert --arch w5.json --output o
tells 'drawn permutations of "heads.0" change hidden states of layer 0'
run 3 whet merge --method linear --align w1.json $llama b_llama --output o
tells 'drawn permutations of "inner.1" change hidden states of layer 1'
absent o
unchanged

# Without config.json heads are taken from the specification, of another type nothing is: both are told.
mkdir bare other
cp $llama/model.safetensors bare
cp $llama/model.safetensors other
sed 's/"model_type": "llama"/"model_type": "gpt_neox"/' $llama/config.json >other/config.json
grep -q gpt_neox other/config.json || fail 'the type is written in another way'
run 0 whet align bare bare --arch llama.json --output o1
tells 'llama.json: no config.json beside bare says how many heads there are'
run 3 whet align bare bare --arch w1.json --output o2
run 0 whet align bare/model.safetensors b_llama --arch llama.json --output o3 # the other one's tells
quiet
run 0 whet align other other --arch w1.json --output o4
tells 'w1.json: that permutations keep the function is not verified: config.json: "model_type" is "gpt_neox"'

# An encoder without a head is there for its hidden states: their order is A's, and that is told.
encoder=$golden/bert_tiny/even
python3 other.py "$encoder" a
run 0 whet align a "$encoder" --save-spec e.json --output moved
says "moved gives what B gives with columns in another order, A's (stream)"
run 0 whet align "$encoder" "$encoder" --output still
grep -q 'another order' .out && fail 'nothing moved'
run 0 whet align a "$encoder" --arch e.json --output moved2 --json
json out
cp .out told.json
printf 'text\nthe good song\na bad video\n' >t.tsv
for folder in "$encoder" moved; do
    run 0 whet embed --model "$folder" --input t.tsv --column text --output "$(basename "$folder").npy"
done
python3 - <<'PY' || fail 'embeddings are not those of B in the order that is told'
import json, struct
def read(path):
    raw = open(path, 'rb').read()
    n = struct.unpack('<H', raw[8:10])[0]
    return struct.unpack('<%df' % ((len(raw) - 10 - n) // 4), raw[10 + n:])
groups = json.load(open('told.json'))['groups']
assert [g['name'] for g in groups if g['output']] == ['stream'], groups
order = groups[0]['orders'][0]
assert order != sorted(order)
old, new = read('even.npy'), read('moved.npy')
d = len(order)
assert len(old) == 2 * d
assert max(abs(new[r * d + i] - old[r * d + order[i]]) for r in range(2) for i in range(d)) < 1e-5
assert max(abs(x - y) for x, y in zip(old, new)) > .01
PY
python3 change.py e.json w6.json 'del s["groups"]["stream"]["output"]'
run 3 whet align a "$encoder" --arch w6.json --output o
tells 'group "stream" numbers hidden states, which nothing reads'
# One that leaves the stream where it is.
python3 change.py e.json f.json '
s["groups"].pop("stream")
for axes in s["tensors"].values():
    axes[:] = [None if x == "stream" else x for x in axes]'
run 0 whet align a "$encoder" --arch f.json --output fixed
quiet
grep -q 'another order' .out && fail 'hidden states stay'
run 0 whet embed --model fixed --input t.tsv --column text --output fixed.npy
python3 - <<'PY' || fail 'embeddings moved'
import struct
def read(path):
    raw = open(path, 'rb').read()
    n = struct.unpack('<H', raw[8:10])[0]
    return struct.unpack('<%df' % ((len(raw) - 10 - n) // 4), raw[10 + n:])
assert max(abs(x - y) for x, y in zip(read('even.npy'), read('fixed.npy'))) < 1e-5
PY

# A language model alone: names without a prefix, no head.
cat >alone.py <<'PY'
import json, os, shutil, struct, sys
source, target = sys.argv[1:]
raw = open(source + '/model.safetensors', 'rb').read()
n = struct.unpack('<Q', raw[:8])[0]
header, data, kept = json.loads(raw[8:8 + n]), b'', {}
for name, t in header.items():
    if name.startswith('model.'):
        bits = raw[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]]
        kept[name[6:]] = {**t, 'data_offsets': [len(data), len(data) + len(bits)]}
        data += bits
text = json.dumps(kept).encode()
os.mkdir(target)
with open(target + '/model.safetensors', 'wb') as f:
    f.write(struct.pack('<Q', len(text)) + text + data)
shutil.copy(source + '/config.json', target)
PY
python3 alone.py "$llama" m
python3 alone.py b_llama n
run 0 whet align m n --save-spec m.json --output o_m
says "o_m gives what B gives with columns in another order, A's (stream)"
run 0 whet align m n --arch m.json --output o_m2
quiet
python3 change.py m.json w7.json 's["tensors"]["layers.0.self_attn.q_proj.weight"][0] = None'
run 3 whet align m n --arch w7.json --output o
tells 'change hidden states of layer 0'

# A dense layer behind the pooling reads the columns as they were.
cp -r "$encoder" dense
cat >dense/modules.json <<'JSON'
[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
 {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
 {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}]
JSON
run 0 whet align a dense --output d1
tells 'dense/modules.json: module "2_Dense" has weights of its own, and is not copied: it reads hidden states, whose columns'
quiet_about 1_Pooling
run 0 whet align a dense --arch f.json --output d2
tells 'nothing that it reads has moved'
run 0 whet merge --method linear dense a --output d3
tells 'module "2_Dense" has weights of its own, and is not copied: it would have to be merged as well'
run 0 whet merge --method linear a dense --output d4
quiet
cp -r "$encoder" odd
echo '{' >odd/modules.json
run 0 whet merge --method linear odd a --output d5
cmp -s odd/modules.json d5/modules.json || fail 'the file is another'

finish
