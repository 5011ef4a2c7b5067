#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet label features of images, as a user types it.
. "$(dirname "$0")/lib.sh"

# array FILE DESCR SHAPE: numbers 0, 7, 14, .. modulo 256, as bytes or (f) over 255; weights FILE BLOCKS: a
# ResNet whose numbers are all .01, of so many blocks a stage.
array() {
    python3 - "$@" <<'PY'
import math, struct, sys
name, descr, shape = sys.argv[1], sys.argv[2], tuple(int(n) for n in sys.argv[3].split(','))
numbers = [7 * i % 256 for i in range(math.prod(shape))]
header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, shape)
with open(name, 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', 118) + (header.ljust(117) + '\n').encode())
    if descr == '|u1':
        f.write(bytes(numbers))
    else:
        f.write(struct.pack('<%df' % len(numbers), *(n / 255 for n in numbers)))
PY
}
weights() {
    python3 - "$@" <<'PY'
import json, math, struct, sys
shapes = {'conv1.weight': [16, 3, 3, 3], 'linear.weight': [10, 64], 'linear.bias': [10]}
norms = {'bn1': 16}
for stage in range(3):
    for i in range(int(sys.argv[2])):
        for j in (1, 2):
            wide = 16 << stage
            narrow = wide // 2 if stage and i == 0 and j == 1 else wide
            shapes['layer%d.%d.conv%d.weight' % (stage + 1, i, j)] = [wide, narrow, 3, 3]
            norms['layer%d.%d.bn%d' % (stage + 1, i, j)] = wide
for name, n in norms.items():
    for part in ('weight', 'bias', 'running_mean', 'running_var'):
        shapes['%s.%s' % (name, part)] = [n]
header, at = {}, 0
for name, shape in shapes.items():
    size = 4 * math.prod(shape)
    header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [at, at + size]}
    at += size
text = json.dumps(header).encode()
with open(sys.argv[1], 'wb') as f:
    f.write(struct.pack('<Q', len(text)) + text + struct.pack('<f', .01) * (at // 4))
PY
}

array grey.npy '|u1' 9,6,5
array real.npy '<f4' 9,6,5
array flat.npy '|u1' 9,30
array color.npy '|u1' 2,40,30,3
array cells.npy '|u1' 2,40,30,2
weights w.safetensors 2

run 0 whet label features --method vae --input grey.npy --output A.npy --test grey.npy --test-output B.npy
says 'A.npy: 9 rows of 128 columns'
says 'B.npy: 9 rows'
tells 'loss'
cmp -s A.npy B.npy || fail 'the same images have other features as test rows'
# Bytes are 255ths, of any shape; the same seed the same bits at any number of threads; another seed others.
run 0 whet label features --method vae --input real.npy --output C.npy --threads 3 --quiet
quiet
cmp -s A.npy C.npy || fail 'reals or threads make other features'
run 0 whet label features --method vae --input flat.npy --output D.npy --json --quiet
json out
says '"columns": 128'
cmp -s A.npy D.npy || fail 'flat images have other features'
run 0 whet label features --method vae --input grey.npy --output E.npy --seed 1
cmp -s A.npy E.npy && fail 'the seed changes nothing'
run 0 whet label features --method resnet --weights w.safetensors --input grey.npy --output F.npy
quiet
says 'F.npy: 9 rows of 64 columns'
run 0 whet label features --method resnet --weights w.safetensors --input color.npy --output G.npy --json
json out
says '"columns": 64'

# What is saved gives later rows the same bits; the settings are in the map.
run 0 whet label features --method vae --input grey.npy --output K.npy --save-map vae.map
says 'vae.map: the map'
run 0 whet label features --map vae.map --input flat.npy --output L.npy --test real.npy --test-output M.npy --threads 3
says 'L.npy: 9 rows of 128 columns'
quiet
cmp -s A.npy L.npy || fail 'a saved autoencoder gives other features'
cmp -s A.npy M.npy || fail 'a saved autoencoder gives test rows other features'
run 0 whet label features --method resnet --weights w.safetensors --input grey.npy --output K.npy --force --save-map resnet.map
run 0 whet label features --map resnet.map --input grey.npy --output L.npy --force --json
json out
says '"method": "resnet"'
cmp -s F.npy L.npy || fail 'a saved ResNet gives other features'
printf 'text\nred wine\ngreen apples\nred apples\n' >t.tsv
printf 'line\ngreen wine\n' >u.tsv
run 0 whet label features --method tfidf --input t.tsv --output K.npy --force --save-map words.map
run 0 whet label features --map words.map --input t.tsv --output L.npy --force
cmp -s K.npy L.npy || fail 'saved terms give other features'
run 0 whet label features --map words.map --input u.tsv --column line --output L.npy --force

# Refusals: nothing is written.
array less.npy '|u1' 9,29
array ints.npy '<i4' 9,6,5
weights deep.safetensors 3
python3 -c '
data = open("deep.safetensors", "rb").read()
open("deep.safetensors", "wb").write(data.replace(b"layer3.2.conv1.weight", b"layer4.2.conv1.weight"))
data = bytearray(open("real.npy", "rb").read())
data[128 + 4 * 31:128 + 4 * 32] = bytes([0, 0, 0x7f, 0x43])
open("far.npy", "wb").write(data)
data = bytearray(open("vae.map", "rb").read())
open("cut.map", "wb").write(data[:-4])
data[-1] ^= 1
open("bent.map", "wb").write(data)'
mark
run 2 whet label features --method resnet --input grey.npy --output p.npy
tells '--method resnet needs --weights'
run 2 whet label features --method vae --weights w.safetensors --input grey.npy --output p.npy
tells '--weights needs --method resnet'
run 2 whet label features --method vae --dim 20 --input grey.npy --output p.npy
tells '--dim needs --method tfidf or pca'
run 2 whet label features --method pca --column text --input flat.npy --output p.npy
tells '--column needs --method tfidf'
run 3 whet label features --method vae --input far.npy --output p.npy
tells 'far.npy: image 1, number 1 is 255; expected reals in [0, 1], or unsigned bytes'
run 3 whet label features --method vae --input ints.npy --output p.npy
tells 'ints.npy: images of i32'
run 3 whet label features --method resnet --weights w.safetensors --input flat.npy --output p.npy
tells 'flat.npy: rows [n, d]'
run 3 whet label features --method resnet --weights w.safetensors --input cells.npy --output p.npy
tells 'cells.npy: other channels'
run 3 whet label features --method vae --input grey.npy --output p.npy --test less.npy --test-output q.npy
tells 'less.npy has 29 numbers an image; expected 30, as grey.npy has'
run 3 whet label features --method resnet --weights deep.safetensors --input grey.npy --output p.npy
tells 'deep.safetensors: tensor "layer3.2.conv1.weight" is missing'
run 3 whet label features --method resnet --weights grey.npy --input grey.npy --output p.npy
tells 'grey.npy'
run 4 whet label features --method resnet --weights none.safetensors --input grey.npy --output p.npy
run 4 whet label features --method vae --input grey.npy --output A.npy
run 2 whet label features --input grey.npy --output p.npy
tells 'option --method is missing (or --map)'
for given in '--method vae' '--dim 3' '--weights w.safetensors' '--save-map q.map'; do
    # shellcheck disable=SC2086 # two words
    run 2 whet label features --map vae.map $given --input grey.npy --output p.npy
    tells "--map and ${given%% *}; expected one of them"
done
run 3 whet label features --map vae.map --input less.npy --output p.npy
tells 'less.npy has 29 numbers an image; expected 30, as vae.map takes'
run 3 whet label features --map vae.map --input far.npy --output p.npy
tells 'far.npy: image 1, number 1 is 255'
run 3 whet label features --map w.safetensors --input grey.npy --output p.npy
tells 'w.safetensors: no map to features; expected a file that whet label features --save-map wrote'
run 3 whet label features --map cut.map --input grey.npy --output p.npy
tells 'cut.map: '
run 3 whet label features --map bent.map --input grey.npy --output p.npy
tells 'bent.map: its numbers have the fingerprint '
run 4 whet label features --map none.map --input grey.npy --output p.npy
tells 'none.map'
run 4 whet label features --method vae --input grey.npy --output p.npy --save-map vae.map
tells 'vae.map: exists'
run 2 whet label features --map words.map --input u.tsv --output p.npy
tells 'u.tsv'
unchanged
finish
