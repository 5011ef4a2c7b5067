#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet align, as a user types it: planted permutations come back, barriers, specifications, refusals.
. "$(dirname "$0")/lib.sh"

python3 - <<'PY'
import json, random, struct

def npy(path, kind, shape, values, code):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    header = header.ljust(117) + '\n'
    with open(path, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
        f.write(struct.pack('<%d%s' % (len(values), code), *values))

def save(path, tensors):
    header, at, data = {}, 0, b''
    for name, (shape, values) in tensors.items():
        raw = struct.pack('<%df' % len(values), *values)
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [at, at + len(raw)]}
        at += len(raw)
        data += raw
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)

random.seed(3)
draw = lambda n: [struct.unpack('<f', struct.pack('<f', random.gauss(0, 1)))[0] for _ in range(n)]
a = {'layer0.weight': ([9, 16], draw(144)), 'layer0.bias': ([9], draw(9)),
     'layer1.weight': ([7, 9], draw(63)), 'layer1.bias': ([7], draw(7)),
     'layer2.weight': ([3, 7], draw(21)), 'layer2.bias': ([3], draw(3))}
p, q = list(range(9)), list(range(7))
random.shuffle(p)
random.shuffle(q)
rows = lambda v, n, order: sum((v[r * n:(r + 1) * n] for r in order), [])
cols = lambda v, n, order: [v[i * n + c] for i in range(len(v) // n) for c in order]
b = {'layer0.weight': ([9, 16], rows(a['layer0.weight'][1], 16, p)),
     'layer0.bias': ([9], rows(a['layer0.bias'][1], 1, p)),
     'layer1.weight': ([7, 9], cols(rows(a['layer1.weight'][1], 9, q), 9, p)),
     'layer1.bias': ([7], rows(a['layer1.bias'][1], 1, q)),
     'layer2.weight': ([3, 7], cols(a['layer2.weight'][1], 7, q)), 'layer2.bias': a['layer2.bias']}
save('a.safetensors', a)
save('b.safetensors', b)
import os
os.mkdir('parts')
os.mkdir('twice')
names = list(b)
for folder, cut in (('parts', 0), ('twice', 1)):
    save(folder + '/one.safetensors', {k: b[k] for k in names[:2 + cut]})
    save(folder + '/two.safetensors', {k: b[k] for k in names[2:]})
    with open(folder + '/model.safetensors.index.json', 'w') as f:
        json.dump({'weight_map': {k: ('one' if i < 2 else 'two') + '.safetensors' for i, k in enumerate(names)}}, f)
save('short.safetensors', {k: v for k, v in a.items() if k != 'layer1.bias'})
nan = dict(a)
nan['layer0.bias'] = ([9], [float('nan')] * 9)
save('nan.safetensors', nan)
save('odd.safetensors', {'x': ([2], [1, 2])})
x = draw(480)
def layer(v, name, act):
    (n, d), w = a[name + '.weight']
    y = [sum(w[r * d + k] * v[k] for k in range(d)) + a[name + '.bias'][1][r] for r in range(n)]
    return [max(0, t) for t in y] if act else y
def best(v):
    y = layer(layer(layer(v, 'layer0', True), 'layer1', True), 'layer2', False)
    return y.index(max(y))
npy('x.npy', '<f4', '(30, 16)', x, 'f')
npy('y.npy', '<i4', '(30,)', [best(x[16 * i:16 * i + 16]) for i in range(30)], 'i')
npy('far.npy', '<i4', '(30,)', [i % 4 for i in range(30)], 'i')
PY

# Whether two files hold the same tensors, to the bit.
same() {
    python3 - "$1" "$2" <<'PY' || fail "$2 is not $1"
import json, struct, sys
def load(path):
    raw = open(path, 'rb').read()
    n = struct.unpack('<Q', raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    head.pop('__metadata__', None)
    return {k: (v['shape'], raw[8 + n:][slice(*v['data_offsets'])]) for k, v in head.items()}
assert load(sys.argv[1]) == load(sys.argv[2])
PY
}

# What was planted comes back, by either method.
run 0 whet align a.safetensors b.safetensors --arch mlp --output b2.safetensors
quiet
says 'b2.safetensors: 6 tensors in 1 file, architecture mlp'
says 'layer0'
same a.safetensors b2.safetensors
run 0 whet align a.safetensors b.safetensors --method activations --data x.npy --output c2.safetensors
same a.safetensors c2.safetensors
run 4 whet align a.safetensors b.safetensors --output b2.safetensors
tells 'b2.safetensors: exists'

# A folder whose weights are in several files, as either network.
run 0 whet align a.safetensors parts --output p2.safetensors
same a.safetensors p2.safetensors
run 0 whet align parts parts/ --arch mlp --output q2.safetensors
same b.safetensors q2.safetensors

# A folder out: one file, or several of a size with their index, which is read as any; B's small files go along.
printf '{"model_type": "mine"}' >parts/config.json
printf '{"tokens": 1}' >parts/tokenizer.json
run 0 whet align a.safetensors parts --output whole
says 'whole: 6 tensors in 1 file, architecture mlp'
same a.safetensors whole/model.safetensors
absent whole/model.safetensors.index.json
run 0 whet align a.safetensors parts --output cut --shard-size 0.0000003 --json
json out
grep -q '"files": *3' .out || fail 'the document does not say 3 files'
python3 - <<'PY' || fail 'the files of the folder are not what they should be'
import glob, json, struct
index = json.load(open('cut/model.safetensors.index.json'))
def head(path):
    raw = open(path, 'rb').read()
    n = struct.unpack('<Q', raw[:8])[0]
    return {k: v['data_offsets'][1] - v['data_offsets'][0] for k, v in json.loads(raw[8:8 + n]).items() if k[0] != '_'}
found = {name: head('cut/' + name) for name in sorted(glob.glob('*.safetensors', root_dir='cut'))}
# 576 is more than 300 and alone; 36 and 252; 28, 84 and 12.
assert [list(f.values()) for f in found.values()] == [[576], [36, 252], [28, 84, 12]], found
assert index['weight_map'] == {k: name for name, f in found.items() for k in f}
assert index['metadata']['total_size'] == sum(sum(f.values()) for f in found.values())
assert all(len(f) == 1 or sum(f.values()) <= 300 for f in found.values())
PY
for name in config.json tokenizer.json; do run 0 cmp parts/$name cut/$name; done
run 0 whet align a.safetensors cut --output cut2.safetensors
same a.safetensors cut2.safetensors
mark
run 4 whet align a.safetensors parts --output cut
tells 'cut: exists'
run 2 whet align a.safetensors parts --output n.safetensors --shard-size 1
tells 'n.safetensors is one file'
unchanged
run 0 whet align a.safetensors b.safetensors --output plain # of a file no small files are known
present plain/model.safetensors
absent plain/config.json

# The barrier falls to nothing; what is saved as specification does the same again.
run 0 whet align a.safetensors b.safetensors --barrier --data x.npy --labels y.npy --points 5 --json \
    --restarts 3 --seed 4 --figure f.svg --save-spec s.json --output d2.safetensors
json out
python3 - <<'PY' || fail 'the document is wrong'
import json
d = json.load(open('.out'))
lines = d['lines']
assert set(lines) == {'before', 'aligned'} and len(lines['before']['points']) == 5
assert all(abs(l['points'][i]['accuracy'] - 1) < 1e-9 for l in lines.values() for i in (0, 4))
assert lines['before']['barrier'] > .05 and lines['aligned']['barrier'] < 1e-6
assert d['arch'] == 'mlp' and d['distance'] == 0 and d['objective'] > d['objective_before']
assert [len(g['orders'][0]) for g in d['groups']] == [9, 7]
assert all(v['after'] >= v['before'] for v in d['trace']) and d['trace'][-1]['restart'] == 2
PY
grep -q '<svg' f.svg || fail 'f.svg is no figure'
# Repaired, once aligned, there is nothing to repair; before, the mixture is another.
run 0 whet align a.safetensors b.safetensors --barrier --data x.npy --labels y.npy --points 3 --json --repair \
    --measure x.npy --figure g.svg --output g2.safetensors
json out
python3 - <<'PY' || fail 'the repaired lines are wrong'
import json
lines = json.load(open('.out'))['lines']
assert set(lines) == {'before', 'aligned', 'before, repaired', 'aligned, repaired'}
losses = {k: [p['loss'] for p in l['points']] for k, l in lines.items()}
assert all(abs(x - y) < 1e-5 for x, y in zip(losses['aligned'], losses['aligned, repaired']))
assert abs(losses['before'][0] - losses['before, repaired'][0]) < 1e-6
assert abs(losses['before'][1] - losses['before, repaired'][1]) > 1e-3
PY
grep -q 'aligned, repaired' g.svg || fail 'g.svg lacks a line'
run 0 whet align a.safetensors b.safetensors --arch s.json --output e2.safetensors
same a.safetensors e2.safetensors

# Straight through, from weight matching on: what is planted is not lost, nor does it get worse.
run 0 whet align a.safetensors b.safetensors --method straight-through --data x.npy --labels y.npy --epochs 2 \
    --batch-size 10 --lr 0.001 --json --output s2.safetensors
json out
python3 -c "
import json
d = json.load(open('.out'))
assert d['method'] == 'straight-through' and d['midpoint'] <= d['midpoint_matched'], d
" || fail 'straight-through is worse'
same a.safetensors s2.safetensors

# Refusals: nothing is written.
mark
run 3 whet align a.safetensors short.safetensors --arch mlp --output n.safetensors
tells '"layer1.bias" is not in the second'
run 3 whet align a.safetensors nan.safetensors --output n.safetensors
tells 'NaN'
run 3 whet align odd.safetensors odd.safetensors --output n.safetensors
tells 'no known architecture'
run 3 whet align a.safetensors twice --output n.safetensors
tells 'tensor "layer1.weight" is in one.safetensors and in two.safetensors'
mkdir empty
run 4 whet align empty b.safetensors --output n.safetensors
tells 'empty'
rmdir empty
# Outputs that cannot be written, or are one, are told before anything is read.
for output in x.npy/n.safetensors x.npy/folder no/such/n.safetensors; do
    run 4 whet align none.safetensors b.safetensors --save-spec n.json --output $output
    tells "$output: cannot be created"
done
run 4 whet align none.safetensors b.safetensors --save-spec no/such/n.json --output n.safetensors
tells 'no/such/n.json: cannot be created'
run 4 whet align none.safetensors b.safetensors --output x.npy --force
tells 'x.npy: cannot be replaced: Not a directory'
run 2 whet align a.safetensors b.safetensors --save-spec n.json --output ./n.json
tells 'options --output and --save-spec are both "n.json"; expected two files'
run 2 whet align a.safetensors b.safetensors --output ./b.safetensors --force
tells './b.safetensors: the output would take the place of b.safetensors, which is read; expected another path'
run 2 whet align a.safetensors b.safetensors --arch vgg --output n.safetensors
tells 'architecture "vgg"'
run 3 whet align a.safetensors b.safetensors --arch resnet --output n.safetensors
tells 'conv1.weight'
run 4 whet align a.safetensors none.safetensors --output n.safetensors
tells 'none.safetensors'
run 2 whet align a.safetensors --output n.safetensors
run 2 whet align a.safetensors b.safetensors --barrier --output n.safetensors
tells '--labels'
run 2 whet align a.safetensors b.safetensors --labels y.npy --output n.safetensors
tells '--labels needs --barrier'
run 2 whet align a.safetensors b.safetensors --method activations --output n.safetensors
tells '--data'
for useless in '--method activations --data x.npy --restarts 2' '--method activations --data x.npy --max-sweeps 2' \
    '--arch mlp --heads 2' '--arch resnet --kv-heads 2'; do
    # shellcheck disable=SC2086
    run 2 whet align a.safetensors b.safetensors $useless --output n.safetensors
    tells 'has no use with'
done
run 2 whet align a.safetensors b.safetensors --mean 0.5 --output n.safetensors
tells 'expected --data as well'
run 2 whet align a.safetensors b.safetensors --barrier --data x.npy --labels y.npy --deviation 0 \
    --output n.safetensors
tells 'scale'
run 3 whet align a.safetensors b.safetensors --barrier --data x.npy --labels far.npy --output n.safetensors
tells 'far.npy: label of example 3 is 3'
run 3 whet align a.safetensors b.safetensors --method straight-through --data x.npy --labels far.npy \
    --output n.safetensors
tells 'far.npy: label of example 3 is 3'
run 2 whet align a.safetensors b.safetensors --barrier --data x.npy --labels y.npy --measure x.npy \
    --output n.safetensors
tells 'no batch norms'
tells 'try --repair'
run 2 whet align a.safetensors b.safetensors --method straight-through --data x.npy --output n.safetensors
tells '--labels'
run 2 whet align a.safetensors b.safetensors --epochs 3 --output n.safetensors
tells '--epochs needs --method straight-through'
run 2 whet align a.safetensors b.safetensors --repair --output n.safetensors
tells '--repair needs --barrier'
printf '{"format": "whet-permutations", "version": 1, "groups": {"p": {}}, "tensors": {"w": ["q"]}}' >bad.json
run 3 whet align a.safetensors b.safetensors --arch bad.json --output n.safetensors
tells 'bad.json: tensor "w": no group "q"'
sed 's/"layer0.bias":\["layer0"\]/"layer0.bias":[null]/' s.json >bad.json
cmp -s s.json bad.json && fail 'bad.json is s.json'
run 3 whet align a.safetensors b.safetensors --arch bad.json --output n.safetensors
tells 'bad.json: specification: drawn permutations change'
rm -f bad.json
unchanged
finish
