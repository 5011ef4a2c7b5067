#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet market trial, as a user types it: shares whose best is known, the gate's verdict, goods, units that
# are exchanged, what is written, refusals.
. "$(dirname "$0")/lib.sh"

# Networks pass (1, 0) and (0, 1) on and multiply by c: logits differ by c, the right way round for all but a
# quarter of the examples, so that a loss is least at c = ln 3. The buyer has c = 0, the seller 1.8.
python3 - <<'PY'
import json, struct

def npy(path, kind, shape, values, code):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    header = header.ljust(117) + '\n'
    with open(path, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
        f.write(struct.pack('<%d%s' % (len(values), code), *values))

def save(path, w0, w1):
    tensors = {'layer0.weight': ([2, 2], w0), 'layer0.bias': ([2], [0, 0]),
               'layer1.weight': ([2, 2], w1), 'layer1.bias': ([2], [0, 0])}
    header, data = {}, b''
    for name, (shape, values) in tensors.items():
        raw = struct.pack('<%df' % len(values), *values)
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)

save('buyer.safetensors', [1, 0, 0, 1], [0, 0, 0, 0])
save('seller.safetensors', [1, 0, 0, 1], [1.8, 0, 0, 1.8])
save('turned.safetensors', [0, 1, 1, 0], [0, 1.8, 1.8, 0]) # the seller, its units exchanged
save('inf.safetensors', [1, 0, 0, 1], [float('inf'), 0, 0, 1])
n = 200
npy('x.npy', '<f4', '(200, 2)', sum(([1, 0] if i % 2 == 0 else [0, 1] for i in range(n)), []), 'f')
more = 1 + 2 ** -23 # other examples by a bit
npy('gx.npy', '<f4', '(200, 2)', sum(([more, 0] if i % 2 == 0 else [0, more] for i in range(n)), []), 'f')
def rows(first, count, start=0): # no two alike
    return sum(([1 + (first + i) / 1e5, 0] if i % 2 == 0 else [0, 1 + (first + i) / 1e5] for i in range(start, count)), [])
npy('all.npy', '<f4', '(200, 2)', rows(0, n), 'f')
npy('part.npy', '<f4', '(100, 2)', rows(0, n, 100), 'f')
npy('some.npy', '<f4', '(200, 2)', rows(0, 6) + rows(1000, n, 6), 'f')
npy('half.npy', '<f4', '(100, 2)', sum(([1, 0] if i % 2 == 0 else [0, 1] for i in range(100, n)), []), 'f')
npy('hy.npy', '<i4', '(100,)', [i % 2 for i in range(100, n)], 'i')
# The examples of x.npy in another order.
npy('copy.npy', '<f4', '(200, 2)', sum(([1, 0] if i % 2 == 0 else [0, 1] for i in reversed(range(n))), []), 'f')
npy('copy_y.npy', '<i4', '(200,)', [i % 2 if i >= 50 else 1 - i % 2 for i in reversed(range(n))], 'i')
npy('y.npy', '<i4', '(200,)', [i % 2 if i >= 50 else 1 - i % 2 for i in range(n)], 'i')
npy('wrong.npy', '<i4', '(200,)', [1 - i % 2 for i in range(n)], 'i')
npy('wide.npy', '<f4', '(200, 3)', [0] * 3 * n, 'f')
npy('few.npy', '<i4', '(3,)', [0, 1, 0], 'i')
npy('three.npy', '<i4', '(200,)', [2] * n, 'i')
PY

# Without a gate the answer is what was chosen, and it says so.
run 2 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy --output buyer.safetensors --force
tells 'option --output is "buyer.safetensors", which is read; expected another'
run 0 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy --search grid
quiet
says 'gain 0.1880 where it was chosen'
says '0.6500    0.56281   75.00 %  all *'
says 'no gate'

# Refined: ln 3 / 1.8. The gate agrees on other examples; the mixture is written.
run 0 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy \
    --gate-data gx.npy --gate-labels y.npy --output mix.safetensors --json
json out
python3 - <<'PY' || fail 'the trial is wrong'
import json, math, struct
d = json.load(open('.out'))
assert abs(d['share'] - math.log(3) / 1.8) < 3e-3
assert d['buy'] and d['gate']['accept'] and d['gate']['n'] == 200
assert abs(d['before'] - math.log(2)) < 1e-6
assert abs(d['after'] - (.75 * math.log(4 / 3) + .25 * math.log(4))) < 1e-5
assert abs(d['distance2'] - 2 * 1.8 ** 2) < 1e-5
assert [g['name'] for g in d['layers']] == ['layer0', 'layer1']
with open('mix.safetensors', 'rb') as f:
    size = struct.unpack('<Q', f.read(8))[0]
    header = json.loads(f.read(size))
    data = f.read()
a, b = header['layer1.weight']['data_offsets']
w = struct.unpack('<4f', data[a:b])
assert abs(w[0] - 1.8 * d['share']) < 1e-6 and w[1] == 0
PY
run 4 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy --output mix.safetensors
tells 'exists'

# The gate says no where other examples say the contrary: exit code 1.
run 1 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy \
    --gate-data gx.npy --gate-labels wrong.npy
says 'no: not more than luck'
run 1 whet market trial seller.safetensors buyer.safetensors --data x.npy --labels y.npy --goods layer0.weight
says 'gain 0.0000'

# Units that are exchanged: worth nothing as they are, the same once they are aligned.
run 1 whet market trial seller.safetensors turned.safetensors --data x.npy --labels y.npy --align weights --json \
    --search grid
python3 -c 'import json; d = json.load(open(".out")); assert d["distance2"] == 0 and d["gain"] == 0' ||
    fail 'units are not aligned'

# Repaired: the same ends, other mixtures between; what is judged is what was chosen.
run 0 whet market trial buyer.safetensors turned.safetensors --data x.npy --labels y.npy --repair \
    --gate-data gx.npy --gate-labels y.npy --json
python3 -c 'import json; d = json.load(open(".out")); assert abs(d["gate"]["after"] - d["after"]) < 1e-6' ||
    fail 'another mixture is judged'

# Refusals, before any work.
run 2 whet market trial buyer.safetensors --data x.npy --labels y.npy
run 2 whet market trial buyer.safetensors seller.safetensors --data x.npy
run 2 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy --gate-data gx.npy
tells 'go together'
run 2 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy \
    --gate-data x.npy --gate-labels y.npy
tells 'expected others'
run 2 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy \
    --gate-data ./x.npy --gate-labels y.npy
tells 'expected others'
# A copy in another order, or a part, is no other data; a few examples that are on both sides are a warning,
# and so are all where examples repeat.
run 2 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy \
    --gate-data copy.npy --gate-labels copy_y.npy
tells 'copy.npy: all 200 examples are among those of x.npy, which choose the mixture; expected others'
run 2 whet market trial buyer.safetensors seller.safetensors --data all.npy --labels y.npy \
    --gate-data part.npy --gate-labels hy.npy
tells 'part.npy: all 100 examples are among those of all.npy'
run 0 whet market trial buyer.safetensors seller.safetensors --data all.npy --labels y.npy \
    --gate-data some.npy --gate-labels y.npy
tells 'some.npy: 6 of 200 examples are among those of all.npy'
run 0 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy \
    --gate-data half.npy --gate-labels hy.npy
tells 'half.npy: 100 of 100 examples are among those of x.npy'
run 0 whet market trial buyer.safetensors seller.safetensors --data all.npy --labels y.npy \
    --gate-data gx.npy --gate-labels y.npy
quiet
run 2 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy --search grid --outright
tells '--outright has no use with --search grid'
run 2 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy --offers 3
tells '--offers needs --gate-data'
run 2 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy --goods layer7.weight
tells 'layer7.weight'
run 3 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels few.npy
tells '3 labels; expected 200'
run 3 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels three.npy
tells 'three.npy: label of example 0 is 2'
run 3 whet market trial buyer.safetensors seller.safetensors --data x.npy --labels y.npy \
    --gate-data gx.npy --gate-labels three.npy
tells 'three.npy: label of example 0 is 2'
run 3 whet market trial buyer.safetensors seller.safetensors --data wide.npy --labels y.npy
tells 'for wide.npy: mlp: tensor layer0.weight'
mark
run 4 whet market trial buyer.safetensors seller.safetensors --data nowhere.npy --labels y.npy --output x.npy/mix.safetensors
tells 'x.npy/mix.safetensors: cannot be created'
mkdir mixes
run 4 whet market trial buyer.safetensors seller.safetensors --data nowhere.npy --labels y.npy --output mixes --force
tells 'mixes: cannot be written'
rmdir mixes
unchanged
run 3 whet market trial buyer.safetensors inf.safetensors --data x.npy --labels y.npy
tells 'layer1.weight'
run 3 whet market trial buyer.safetensors seller.safetensors --arch resnet --data x.npy --labels y.npy
run 4 whet market trial buyer.safetensors nowhere.safetensors --data x.npy --labels y.npy --output no.safetensors
absent no.safetensors
finish
