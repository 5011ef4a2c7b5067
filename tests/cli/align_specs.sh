#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet align of encoders without a head, whose embeddings come in another order.
. "$(dirname "$0")/lib.sh"

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

# An encoder without a head is there for its hidden states: their order is A's, and that is told.
encoder=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even
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
# One that leaves the stream where it is.
python3 change.py e.json f.json '
s["groups"].pop("stream")
for axes in s["tensors"].values():
    axes[:] = [None if x == "stream" else x for x in axes]'
run 0 whet align a "$encoder" --arch f.json --output fixed
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

finish
