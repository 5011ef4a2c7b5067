#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet align runs convolutions as config.json or a specification tells them, and nothing else than it is told.
. "$(dirname "$0")/lib.sh"

cat >make.py <<'PY'
import json, math, os, random, struct

def write(path, shapes):
    header, data = {}, b''
    for name, shape in shapes.items():
        n = math.prod(shape)
        values = [random.gauss(0, 1) * (1 if len(shape) == 1 else (2 * shape[0] / n) ** .5) for _ in range(n)]
        if name.endswith('running_var') or (len(shape) == 1 and name.endswith('weight')):
            values = [abs(v) + .5 for v in values]
        bits = struct.pack('<%df' % n, *values)
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)

def npy(path, kind, shape, values, code):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    with open(path, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', 118) + (header.ljust(117) + '\n').encode())
        f.write(struct.pack('<%d%s' % (len(values), code), *values))

def norm(name, n):
    return {name + '.' + k: [n] for k in ('weight', 'bias', 'running_mean', 'running_var')}

shapes, width = {'conv1.weight': [4, 3, 3, 3], **norm('bn1', 4)}, 4
for i, w in enumerate((4, 6), 1):
    at, out = 'layer%d.0.' % i, 4 * w
    for k, (filters, reads, side) in enumerate(((w, width, 1), (w, w, 3), (out, w, 1)), 1):
        shapes |= {at + 'conv%d.weight' % k: [filters, reads, side, side], **norm(at + 'bn%d' % k, filters)}
    shapes |= {at + 'downsample.0.weight': [out, width, 1, 1], **norm(at + 'downsample.1', out)}
    width = out
shapes |= {'fc.weight': [3, width], 'fc.bias': [3]}
configs = {'bare': None, 'timm': {'architecture': 'resnet50', 'num_classes': 3}, 'blur': {'architecture': 'resnetblur50'},
           'first': {'model_type': 'resnet', 'downsample_in_bottleneck': True},
           'stage': {'model_type': 'resnet', 'downsample_in_bottleneck': True, 'downsample_in_first_stage': True}}
for name, config in configs.items():
    for k in 'ab':
        folder = name + '_' + k
        os.mkdir(folder)
        random.seed(k)
        write(folder + '/model.safetensors', shapes)
        if config:
            json.dump(config, open(folder + '/config.json', 'w'))
random.seed(3)
npy('x.npy', '<f4', '(8, 12, 12, 3)', [random.gauss(0, 1) for _ in range(8 * 12 * 12 * 3)], 'f')
npy('y.npy', '<i4', '(8,)', [i % 3 for i in range(8)], 'i')
PY
python3 make.py
data="--data x.npy --labels y.npy"

line() { # NAME ARCH A B: losses before, as NAME.line
    # shellcheck disable=SC2086
    run 0 whet align "$3" "$4" --arch "$2" --barrier $data --points 3 --json --output "$1.out"
    python3 -c 'import json, sys; print([p["loss"] for p in json.load(open(sys.argv[1]))["lines"]["before"]["points"]])' .out >"$1.line"
}
same() { cmp -s "$1.line" "$2.line" || fail "$1 and $2 are run differently"; }
differ() { cmp -s "$1.line" "$2.line" && fail "$1 and $2 are run the same"; }

# Nothing told is said; a config.json tells it.
line bare auto bare_a bare_b
tells 'nothing tells which convolution of a bottleneck has its stride: taken as the second'
line timm resnet timm_a timm_b
quiet
same bare timm
line first auto first_a first_b
quiet_about 'nothing tells'
differ bare first
line stage auto stage_a stage_b
differ first stage
line beside auto first_a/model.safetensors bare_b/model.safetensors
same first beside
run 0 whet align bare_a bare_b --output weights
quiet

# What cannot be run is refused by name, and aligned by weights all the same.
mark
# shellcheck disable=SC2086
run 3 whet align blur_a bare_b --barrier $data --output o
tells '"architecture" of the config.json of blur_a is "resnetblur50"'
run 3 whet align blur_a bare_b --method activations --data x.npy --output o
tells 'resnetblur50'
# shellcheck disable=SC2086
run 3 whet align first_a stage_b --barrier $data --output o
tells 'stage_b: its config.json says other strides than that of first_a'
unchanged
run 0 whet align blur_a bare_b --output blurred

# A specification tells the same, of any convolution, and is believed instead of config.json.
run 0 whet align first_a first_b --save-spec first.json --output f
run 0 whet align bare_a bare_b --save-spec bare.json --output g
cat >tell.py <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
s['convolutions'] = s.get('convolutions', {}) | json.loads(sys.argv[3])
json.dump(s, open(sys.argv[2], 'w'))
PY
grep -q '"convolutions"' first.json || fail 'what config.json tells is not saved'
grep -q '"convolutions"' bare.json && fail 'nothing was told'
python3 tell.py bare.json told.json '{"layer2.0.conv1": {"stride": 2}, "layer2.0.conv2": {"groups": 1}}'
line saved first.json bare_a bare_b
quiet
same first saved
line told told.json timm_a timm_b
same first told
python3 tell.py bare.json pooled.json '{"conv1": {"stride": 2, "padding": 0, "pool": {"kind": "max", "size": 2, "stride": 1}}}'
line pooled pooled.json bare_a bare_b
differ bare pooled
run 0 whet merge --method linear --align told.json bare_a bare_b --output merged.safetensors

# A trial of one's weights for the other's runs them the same way.
tried() { # NAME ARCH A B: what the buyer loses, as NAME.line
    # shellcheck disable=SC2086
    run 0 whet market trial "$3/model.safetensors" "$4/model.safetensors" --arch $2 $data --search grid --json
    grep '"before"' .out >"$1.line"
}
tried bare resnet bare_a bare_b
tells 'nothing tells which convolution of a bottleneck has its stride'
tried timm resnet timm_a timm_b
quiet
same bare timm
tried first resnet first_a first_b
differ bare first
tried told told.json bare_a bare_b
quiet
same first told
tried aligned 'auto --align weights' first_a first_b
same first aligned
# shellcheck disable=SC2086
run 3 whet market trial blur_a/model.safetensors bare_b/model.safetensors --arch resnet $data
tells 'resnetblur50'

# What says nothing of the network is nobody's: of an mlp there are no strides to read.
cat >flat.py <<'PY'
exec(open('make.py').read().split('shapes, width')[0])
random.seed(5)
os.mkdir('flat')
for k in 'ab':
    write('flat/%s.safetensors' % k, {'fc1.weight': [5, 4], 'fc1.bias': [5], 'fc2.weight': [3, 5], 'fc2.bias': [3]})
open('flat/config.json', 'w').write('3')
npy('flat/x.npy', '<f4', '(8, 4)', [random.gauss(0, 1) for _ in range(32)], 'f')
PY
python3 flat.py
run 0 whet market trial flat/a.safetensors flat/b.safetensors --arch mlp --data flat/x.npy --labels y.npy --search grid
quiet

mark
for wrong in '{"layer2.0.conv9": {"stride": 2}}' '{"layer1.0.conv2": {"groups": 2}}'; do
    python3 tell.py bare.json wrong.json "$wrong"
    run 3 whet align bare_a bare_b --arch wrong.json --output o
    tells 'wrong.json: resnet:'
    run 3 whet merge --method linear --align wrong.json bare_a bare_b --output o.safetensors
done
tells 'convolution layer1.0.conv2 is told to have 2 groups, and has 1 by its shapes'
python3 tell.py bare.json wrong.json '{"layer1.0.conv2": {"padding": 0}}'
# shellcheck disable=SC2086
run 3 whet align bare_a bare_b --arch wrong.json --barrier $data --output o
tells 'the convolutions of layer1.0 give 10 x 10 x 16, and its shortcut 12 x 12 x 16'
python3 tell.py bare.json wrong.json '{"layer2.0.conv1": {"stride": 2}}'
# shellcheck disable=SC2086
run 3 whet align bare_a bare_b --arch wrong.json --barrier $data --output o
tells 'convolution layer2.0.conv1 is told to have a stride of 2, and nothing is told of layer2.0.conv2'
python3 tell.py bare.json wrong.json '{"conv1": {"strides": 2}}'
run 3 whet align bare_a bare_b --arch wrong.json --output o
tells 'wrong.json: convolution "conv1": key "strides"'
rm wrong.json
unchanged

finish
