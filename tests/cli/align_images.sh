#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet align on networks of images: planted permutations of each kind come back, and the line to them is flat.
. "$(dirname "$0")/lib.sh"

cat >nets.py <<'END2'
import json, math, random, struct, sys

def write(path, tensors):
    header, data = {}, b''
    for name, (shape, values) in tensors.items():
        bits = struct.pack('<%df' % len(values), *values)
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)

def read(path):
    raw = open(path, 'rb').read()
    n = struct.unpack('<Q', raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name != '__metadata__':
            first, last = t['data_offsets']
            out[name] = (t['shape'], list(struct.unpack('<%df' % ((last - first) // 4), raw[8 + n + first:8 + n + last])))
    return out

def npy(path, kind, shape, values, code):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    header = header.ljust(117) + '\n'
    with open(path, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
        f.write(struct.pack('<%d%s' % (len(values), code), *values))

def drawn(shapes):
    out = {}
    for name, shape in shapes.items():
        n = math.prod(shape)
        wide = n // shape[0]
        scale = 1 if len(shape) == 1 else (2 / wide) ** .5
        values = [struct.unpack('<f', struct.pack('<f', random.gauss(0, 1) * scale))[0] for _ in range(n)]
        if len(shape) == 1:
            values = [abs(v) + .5 if name.endswith(('weight', 'running_var')) else .3 * v for v in values]
        out[name] = (shape, values)
    return out

def norm(name, n, running=True):
    return {name + '.' + k: [n] for k in ('weight', 'bias', 'running_mean', 'running_var')[:4 if running else 2]}

# bottleneck: a block's inner widths are the stage's, its outer one four times that. Shortcuts are convolutions.
def resnet(widths, bottleneck=False, stem=3, shortcut='shortcut', size=1, running=True, head='linear', blocks=2):
    t = {'conv1.weight': [widths[0], 3, stem, stem], **norm('bn1', widths[0], running)}
    width = widths[0]
    for i, w in enumerate(widths, 1):
        for k in range(blocks):
            at = 'layer%d.%d.' % (i, k)
            out = 4 * w if bottleneck else w
            plan = [(w, 1), (w, 3), (out, 1)] if bottleneck else [(w, 3), (out, 3)]
            before = width
            for j, (filters, side) in enumerate(plan, 1):
                t[at + 'conv%d.weight' % j] = [filters, before, side, side]
                t |= norm(at + 'bn%d' % j, filters, running)
                before = filters
            if out != width or (i > 1 and k == 0):
                t[at + shortcut + '.0.weight'] = [out, width, size, size]
                t |= norm(at + shortcut + '.1', out, running)
            width = out
    return t | {head + '.weight': [3, width], head + '.bias': [3]}

# B is A under orders that are drawn for the groups of a specification.
def plant(spec, a, b):
    spec, tensors = json.load(open(spec)), read(a)
    def runs_of(axis):
        return [axis] if isinstance(axis, str) else [(p['group'], p['first'], p['count']) for p in axis]
    orders = {}
    def order_of(group, units):
        if group not in orders:
            g = spec['groups'][group]
            n, blocks = g.get('units', units), g.get('blocks', 1)
            size = n // blocks
            inner = [random.sample(range(size), size) for _ in range(blocks)]
            orders[group] = [k * size + i for k in random.sample(range(blocks), blocks) for i in inner[k]]
        return orders[group]
    # Heads move whole, and what they write inside them.
    def order_of_heads(group, part):
        g = spec['groups'][group]
        heads, size = g['heads'], g['head_size']
        if group not in orders:
            whole = random.sample(range(heads), heads)
            orders[group] = [h * size + i for h in whole for i in random.sample(range(size), size)]
        if part in ('value', 'mixed'):
            return orders[group]
        return [u // size * size + i % size for i, u in enumerate(orders[group])]
    def source(axis, n):
        if axis is None:
            return list(range(n))
        if isinstance(axis, str) and axis not in spec['groups']:
            return order_of_heads(*axis.rsplit('.', 1))
        if isinstance(axis, str):
            units = spec['groups'][axis].get('units', n)
            order, wide = order_of(axis, units), n // units
            return [u * wide + r for u in order for r in range(wide)]
        out, at = [0] * n, 0
        where = {}
        for p in axis:
            for u in range(p['first'], p['first'] + p['count']):
                where[p['group'], u] = at
                at += 1
        for (group, u), place in where.items():
            units = 1 + max(v for g, v in where if g == group)
            out[place] = where[group, order_of(group, units)[u]]
        return out
    for name, (shape, values) in tensors.items():
        axes = spec['tensors'][name]
        axes = axes['axes'] if isinstance(axes, dict) else axes
        from_ = [0]
        for axis, n in zip(axes, shape):
            moved = source(axis, n)
            from_ = [f * n + i for f in from_ for i in moved]
        tensors[name] = (shape, [values[i] for i in from_])
    write(b, tensors)
    assert any(order != sorted(order) for order in orders.values())

if sys.argv[1] == 'plant':
    random.seed(7)
    plant(*sys.argv[2:])
elif sys.argv[1] == 'same':
    assert read(sys.argv[2]) == read(sys.argv[3]), 'other tensors'
END2
cat >make.py <<'END2'
import sys
sys.argv = ['', '']
from nets import *
random.seed(5)
write('basic.safetensors', drawn(resnet([6, 8, 10])))
write('wide_shortcut.safetensors', drawn(resnet([4, 6], size=3)))
write('large.safetensors', drawn(resnet([5, 7], stem=7, shortcut='downsample', head='fc')))
write('bottleneck.safetensors', drawn(resnet([4, 6], True, stem=7, shortcut='downsample', head='fc')))
write('grouped.safetensors', drawn(resnet([4, 6], True, running=False)))
odd = resnet([4, 6], True)
for i, w in enumerate((4, 6), 1):
    for k in range(2):
        odd['layer%d.%d.conv2.weight' % (i, k)] = [w, 2, 3, 3]
write('cardinal.safetensors', drawn(odd))
write('depthwise.safetensors', drawn(odd | {'layer1.%d.conv2.weight' % k: [4, 1, 3, 3] for k in range(2)}))
write('reduced.safetensors', drawn(odd | {'layer2.0.conv1.weight': [6, 8, 1, 1]}))
write('some.safetensors', drawn({'fc1.weight': [7, 768], 'fc1.bias': [7], 'norm1.weight': [7], 'norm1.bias': [7],
    'fc2.weight': [6, 7], 'fc2.bias': [6], 'fc3.weight': [3, 6], 'fc3.bias': [3]}))
write('sequential.safetensors', drawn({'0.weight': [7, 768], '0.bias': [7], '2.weight': [6, 7], '2.bias': [6], '4.weight': [3, 6], '4.bias': [3]}))
write('normed.safetensors', drawn({'net.0.weight': [7, 768], **norm('net.1', 7), 'net.3.weight': [6, 7], 'net.3.bias': [6],
                                   **norm('net.4', 6), 'net.6.weight': [3, 6]}))
write('features.safetensors', drawn({'features.0.weight': [5, 3, 3, 3], 'features.0.bias': [5], **norm('features.1', 5),
                                     'features.4.weight': [6, 5, 3, 3], 'features.4.bias': [6],
                                     'classifier.0.weight': [8, 24], 'classifier.0.bias': [8], 'classifier.2.weight': [3, 8]}))
plain = {'features.0.weight': [5, 3, 3, 3], 'features.0.bias': [5], 'features.2.weight': [6, 5, 3, 3], 'features.2.bias': [6],
         'classifier.weight': [3, 6], 'classifier.bias': [3]}
write('plain.safetensors', drawn(plain))
write('other.safetensors', drawn(plain))
npy('x.npy', '<f4', '(8, 16, 16, 3)', [random.gauss(0, 1) for _ in range(8 * 16 * 16 * 3)], 'f')
npy('short.npy', '<f4', '(8, 5)', [0.] * 40, 'f')
npy('y.npy', '<i4', '(8,)', [i % 3 for i in range(8)], 'i')
END2
python3 make.py

# A planted permutation comes back to the bit, by weights and by activations, and the line to it is flat.
planted() { # NAME ARCH
    run 0 whet align "$1.safetensors" "$1.safetensors" --arch "$2" --save-spec "$1.json" --output "$1.same.safetensors"
    python3 nets.py plant "$1.json" "$1.safetensors" "$1.moved.safetensors" || fail "$1: nothing planted"
    run 0 whet align "$1.safetensors" "$1.moved.safetensors" --arch "$2" --restarts 4 --barrier --data x.npy --labels y.npy --points 3 \
        --output "$1.back.safetensors" --json
    cp .out "$1.line"
    python3 nets.py same "$1.safetensors" "$1.back.safetensors" || fail "$1: not what was planted"
    python3 - "$1.line" <<'END2' || fail "$1: the line is not flat"
import json, sys
lines = json.load(open(sys.argv[1]))['lines']
before, after = ([p['loss'] for p in lines[k]['points']] for k in ('before', 'aligned'))
assert len(after) == 3 and after[0] == after[1] == after[2] == before[0], lines # the same function, at every share
assert abs(before[2] - before[0]) < 1e-5 * before[0] < abs(before[1] - before[0]), lines
END2
    run 0 whet align "$1.safetensors" "$1.moved.safetensors" --arch "$2" --method activations --data x.npy --output "$1.acts.safetensors"
    python3 nets.py same "$1.safetensors" "$1.acts.safetensors" || fail "$1: activations find another order"
    # The saved specification is run before it is used, and says the same.
    run 0 whet align "$1.safetensors" "$1.moved.safetensors" --arch "$1.json" --restarts 4 --output "$1.spec.safetensors"
    quiet
    cmp -s "$1.back.safetensors" "$1.spec.safetensors" || fail "$1: the saved specification does something else"
}
planted basic auto
planted wide_shortcut resnet
planted large auto
planted bottleneck auto
planted grouped resnet:2
planted cardinal auto
planted depthwise auto
run 0 whet align cardinal.safetensors cardinal.moved.safetensors --output c.safetensors
tells 'layer1.0.conv2 (and others) reads groups of channels: they move whole, and what each reads keeps its order inside'
planted sequential auto
planted normed mlp

# A specification that leaves the channels of a shortcut where they are is refused.
python3 - <<'END2'
import json
s = json.load(open('bottleneck.json'))
s['tensors']['layer2.0.downsample.1.weight'] = [None]
json.dump(s, open('wrong.json', 'w'))
s = json.load(open('cardinal.json'))
s['groups']['layer1.0.groups']['free_keys'] = True # what a group reads moves inside it, and its filters' columns do not
json.dump(s, open('free.json', 'w'))
END2
mark
run 3 whet align bottleneck.safetensors bottleneck.moved.safetensors --arch wrong.json --output o
tells "wrong.json: specification: drawn permutations change the network's outputs"
run 3 whet align cardinal.safetensors cardinal.moved.safetensors --arch free.json --output o
tells "free.json: specification: drawn permutations change the network's outputs"
run 3 whet align reduced.safetensors reduced.safetensors --output o
tells '"layer2.0.conv1" reads 8 channels of the 16 before it; expected all of them, or groups inside of a bottleneck'
unchanged
run 0 whet align grouped.safetensors grouped.moved.safetensors --arch resnet:2 --repair --barrier --data x.npy --labels y.npy --points 3 --output r
says 'aligned, repaired'
run 0 whet align basic.safetensors basic.moved.safetensors --barrier --data x.npy --labels y.npy --measure x.npy --points 3 --output m
says 'aligned, norms measured'
run 0 whet align bottleneck.safetensors bottleneck.moved.safetensors --method straight-through --epochs 2 --data x.npy --labels y.npy --output s
says 'loss at the midpoint'

# A chain of convolutions that are not told is not run on data, but its specification is proved, and refused where an axis is wrong.
run 0 whet align features.safetensors features.safetensors --arch cnn --save-spec features.json --output f
run 0 whet align features.safetensors features.safetensors --arch features.json --output g
quiet
python3 - <<'END2'
import json
s = json.load(open('features.json'))
s['convolutions'] = {'features.0': {'stride': 2, 'pool': {'kind': 'max', 'size': 2}}}
json.dump(s, open('half.json', 'w'))
s['convolutions']['features.4'] = {'pool': {'kind': 'mean', 'size': 2}}
json.dump(s, open('told.json', 'w'))
s['tensors']['features.1.bias'] = [None]
json.dump(s, open('wrong.json', 'w'))
END2
mark
run 3 whet align features.safetensors features.safetensors --arch wrong.json --output o
tells "wrong.json: specification: drawn permutations change the network's outputs"
run 3 whet align features.safetensors features.safetensors --arch mlp --barrier --data x.npy --labels y.npy --output o
tells 'features.0 is a convolution, and nothing tells the strides and pools of a chain'
run 3 whet align features.safetensors features.safetensors --arch half.json --barrier --data x.npy --labels y.npy --output o
tells 'features.4 is a convolution, and nothing tells'
run 3 whet align sequential.safetensors sequential.moved.safetensors --barrier --data short.npy --labels y.npy --output o
tells 'for short.npy: mlp: tensor 0.weight is not there, or of another shape'
run 3 whet align some.safetensors some.safetensors --arch mlp --repair --barrier --data x.npy --labels y.npy --output o
tells 'mlp: layer fc2.weight has no norm, and others do; expected all or none for units to be repaired'
unchanged
run 0 whet align plain.safetensors other.safetensors --arch cnn --save-spec plain.json --output p
python3 - <<'END2'
import json
s = json.load(open('plain.json'))
s['convolutions'] = {'features.0': {'stride': 2}, 'features.2': {}}
json.dump(s, open('plain.json', 'w'))
END2
run 0 whet align plain.safetensors other.safetensors --arch plain.json --repair --barrier --data x.npy --labels y.npy --points 3 --output repaired_chain
says 'aligned, repaired'
python3 nets.py plant features.json features.safetensors features.moved.safetensors || fail 'nothing planted'
run 0 whet align features.safetensors features.moved.safetensors --arch told.json --method activations --barrier --data x.npy --labels y.npy \
    --points 3 --output told.safetensors --json
quiet_about 'cannot be run'
cp .out told.line
python3 nets.py same features.safetensors told.safetensors || fail 'not what was planted'
python3 -c "
import json
before, after = ([p['loss'] for p in json.load(open('told.line'))['lines'][k]['points']] for k in ('before', 'aligned'))
assert after[0] == after[1] == after[2] == before[0] and abs(before[2] - before[0]) < 1e-5 < abs(before[1] - before[0]), (before, after)
" || fail 'the line is not flat'
run 0 whet align sequential.safetensors sequential.moved.safetensors --repair --barrier --data x.npy --labels y.npy --points 3 --output q
says 'aligned, repaired'
run 0 whet align sequential.safetensors sequential.moved.safetensors --method straight-through --epochs 2 --data x.npy --labels y.npy --output t
says 'loss at the midpoint'

finish
