#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet align and merge: what shapes do not tell (heads of attention, kinds of residual networks and of norms).
. "$(dirname "$0")/lib.sh"

cat >make.py <<'END2'
import json, os, random, shutil, struct

def write(path, shapes):
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    header, data = {}, b''
    for name, shape in shapes.items():
        n = 1
        for d in shape:
            n *= d
        bits = struct.pack('<%df' % n, *(random.gauss(0, 1) for _ in range(n)))
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)

random.seed(1)
at = 'model.layers.0.'
llama = {'model.embed_tokens.weight': [9, 8], 'model.norm.weight': [8], 'lm_head.weight': [9, 8],
         at + 'input_layernorm.weight': [8], at + 'post_attention_layernorm.weight': [8],
         **{at + 'self_attn.%s_proj.weight' % p: [8, 8] for p in 'qkvo'},
         at + 'mlp.gate_proj.weight': [5, 8], at + 'mlp.up_proj.weight': [5, 8], at + 'mlp.down_proj.weight': [8, 5]}
for folder, config in (('four', {'num_attention_heads': 4}), ('again', {'num_attention_heads': 4, 'head_dim': None}),
                       ('two', {'num_attention_heads': 2}), ('long', {'num_attention_heads': 4, 'head_dim': 4}),
                       ('short', {'num_attention_heads': 4, 'head_dim': 2}),
                       ('shared', {'num_attention_heads': 4, 'num_key_value_heads': 2}),
                       ('each', {'num_attention_heads': 4, 'num_key_value_heads': 4}),
                       ('part4', {'text_config': {'num_attention_heads': 4}}), ('part2', {'text_config': {'num_attention_heads': 2}}),
                       ('gpt4', {'n_head': 4}), ('gpt2', {'n_head': 2})):
    write(folder + '/model.safetensors', llama)
    with open(folder + '/config.json', 'w') as f:
        json.dump(config, f)
write('alone/a.safetensors', llama)
# `free` has an output layer of its own, `tied` not: it is `free` with its stream in another order.
order = [3, 0, 7, 1, 6, 2, 5, 4]
free = {n: [[random.gauss(0, 1) for _ in range(s[-1])] for _ in range(s[0] if len(s) > 1 else 1)] for n, s in llama.items()}
free['lm_head.weight'] = free['model.embed_tokens.weight']
def moved(name, rows):
    if any(p in name for p in ('o_proj', 'down_proj')):
        return [rows[i] for i in order]
    return [[row[i] for i in order] for row in rows]
def save(folder, values, tied):
    os.makedirs(folder)
    header, data = {}, b''
    for name, rows in values.items():
        bits = b''.join(struct.pack('<%df' % len(r), *r) for r in rows)
        header[name] = {'dtype': 'F32', 'shape': llama[name], 'data_offsets': [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(folder + '/model.safetensors', 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)
    with open(folder + '/config.json', 'w') as f:
        json.dump({'num_attention_heads': 4, 'tie_word_embeddings': tied}, f)
save('free', free, False)
save('tied', {n: moved(n, r) for n, r in free.items() if n != 'lm_head.weight'}, True)
mlp = {'layer0.weight': [4, 3], 'layer0.bias': [4], 'layer1.weight': [2, 4], 'layer1.bias': [2]}
write('m.safetensors', mlp)
write('n.safetensors', mlp)
norm = lambda name, n, running: {name + '.' + k: [n] for k in ('weight', 'bias', 'running_mean', 'running_var')[:4 if running else 2]}
def resnet(widths, running=True, first=True, inner=None, **more):
    t = {'conv1.weight': [4, 3, 3, 3], **(norm('bn1', 4, running) if first else {}), 'fc.weight': [2, widths[-1]], 'fc.bias': [2], **more}
    width = 4
    for i, w in enumerate(widths, 1):
        at = 'layer%d.0.' % i
        n = inner or w
        t |= {at + 'conv1.weight': [n, width, 3, 3], at + 'conv2.weight': [w, n, 3, 3]}
        t |= {**norm(at + 'bn1', n, running), **norm(at + 'bn2', w, running)}
        width = w
    return t
for i in 'ab':
    write('equal_%s.safetensors' % i, resnet([4, 4, 4]))
    write('late_%s.safetensors' % i, resnet([4, 4, 8]))
    write('narrow_%s.safetensors' % i, resnet([4, 4], inner=6))
    # as widely used pre-activation networks: no norm behind the first convolution, nor before the last layer
    write('before_%s.safetensors' % i, resnet([4, 4], first=False))
    write('group_%s.safetensors' % i, resnet([4, 8], running=False))
    write('uneven_%s.safetensors' % i, resnet([4, 6], running=False))
    for folder, key, n in (('gn2', 'num_groups', 2), ('gn4', 'num_groups', 4)) if i == 'a' else (('gn2b', 'norm_num_groups', 2),):
        os.makedirs(folder)
        shutil.copy('group_%s.safetensors' % i, folder + '/model.safetensors')
        with open(folder + '/config.json', 'w') as f:
            json.dump({key: n}, f)
    write('cnn_%s.safetensors' % i, {'conv1.weight': [4, 3, 3, 3], 'conv1.bias': [4], 'n1.weight': [4], 'n1.bias': [4],
                                     'fc1.weight': [2, 4], 'fc1.bias': [2]})
END2
python3 make.py

# Heads that differ, where shapes do not: never an output.
run 0 whet align four again --output o1
run 0 whet align alone/a.safetensors four --output o2 # the other's config.json says it
mark
run 3 whet align four two --output o
tells 'two: "num_attention_heads" of its config.json is 2, and four 4; expected the same'
run 3 whet align four two/model.safetensors --output o
tells '"num_attention_heads"'
run 3 whet align shared each --output o
tells 'each: "num_key_value_heads" of its config.json is 4, and shared 2'
run 3 whet align short long --output o
tells '"head_dim"'
run 3 whet align part4 part2 --output o
tells 'part2: "num_attention_heads" of its config.json is 2, and part4 4'
run 3 whet align gpt4 gpt2 --output o
tells 'gpt2: "n_head" of its config.json is 2, and gpt4 4'
run 3 whet merge --method linear gpt4 gpt2 --output o
tells 'gpt2: "n_head"'
run 3 whet align four again --heads 2 --output o
tells 'four: "num_attention_heads" of its config.json is 4, and what is given 2'
run 3 whet merge --method linear four two --output o
tells 'two: "num_attention_heads" of its config.json is 2, and four 4'
run 3 whet merge --method linear --align auto four two --output o
tells 'two: "num_attention_heads"'
run 3 whet merge --method linear --align auto four/model.safetensors two/model.safetensors --output o
tells '"num_attention_heads"'
run 2 whet align m.safetensors n.safetensors --heads 4 --output o
tells '4 heads are given, and the specification has none'
run 0 whet align four again --save-spec s.json --output o3
run 2 whet align four again --arch s.json --heads 4 --output o
tells 'is a file that says how many'
absent o

# Residual networks of one width: their norms may stand before or behind. Widths that change tell.
run 0 whet align equal_a.safetensors equal_b.safetensors --output r1.safetensors
tells 'for a pre-activation network give --arch wrn'
for arch in resnet wrn; do
    run 0 whet align equal_a.safetensors equal_b.safetensors --arch $arch --output r2_$arch.safetensors
    quiet
done
run 0 whet align late_a.safetensors late_b.safetensors --output r3.safetensors
quiet
run 0 whet align narrow_a.safetensors narrow_b.safetensors --save-spec narrow.json --output r4.safetensors
quiet
run 0 whet align before_a.safetensors before_b.safetensors --save-spec before.json --output r5.safetensors
quiet
for arch in resnet wrn; do
    run 0 whet align equal_a.safetensors equal_b.safetensors --arch $arch --save-spec $arch.json --output r6_$arch.safetensors
done
# The two kinds move other axes together: the question cannot be left open.
python3 - <<'END2' || fail 'norms are numbered by other units'
import json
axis = {n: [json.load(open(n + '.json'))['tensors']['layer1.0.%s.weight' % b][0][0]['group'] for b in ('bn1', 'bn2')]
        for n in ('resnet', 'wrn', 'narrow', 'before')}
behind, ahead = ['layer1.0.inner', 'stream'], ['stream', 'layer1.0.inner']
assert axis == {'resnet': behind, 'narrow': behind, 'wrn': ahead, 'before': ahead}, axis
END2

# Norms of groups of channels: nothing tells how many groups, so that one is warned of.
run 0 whet align group_a.safetensors group_b.safetensors --output none.safetensors
tells 'bn1 has no running statistics'
tells 'say how many with the architecture, "resnet:8"'
run 0 whet align group_a.safetensors group_b.safetensors --arch auto:1 --output one.safetensors
quiet_about 'running statistics'
cmp none.safetensors one.safetensors || fail 'without a number it is not one group'
run 0 whet align cnn_a.safetensors cnn_b.safetensors --arch cnn --output c0.safetensors
tells 'n1 has no running statistics'
run 0 whet merge --method linear --align auto cnn_a.safetensors cnn_b.safetensors --output c1.safetensors
tells 'n1 has no running statistics'
mark
run 3 whet align group_a.safetensors group_b.safetensors --arch auto:3 --output o
tells '"bn1.weight" is of 4 channels, that are no 3 groups of one size'
run 2 whet align m.safetensors n.safetensors --arch mlp:2 --output o
tells 'mlp:2: the network has no norms of channels without running statistics'
run 2 whet align equal_a.safetensors equal_b.safetensors --arch resnet:2 --output o
tells 'no norms of channels without running statistics'
run 2 whet align four again --arch llama:2 --output o
tells 'llama:2'
run 2 whet align group_a.safetensors group_b.safetensors --arch resnet:2 --heads 2 --output o
tells '--heads has no use with --arch resnet'
absent o
for n in 1 2 4; do
    run 0 whet align group_a.safetensors group_b.safetensors --arch auto:$n --save-spec g$n.json --output g$n.safetensors
    says "architecture resnet:$n"
    run 0 whet align group_a.safetensors group_b.safetensors --arch g$n.json --output again$n.safetensors
    cmp g$n.safetensors again$n.safetensors || fail "the saved specification of $n groups does something else"
    run 0 whet merge --method linear --align resnet:$n group_a.safetensors group_b.safetensors --output m$n.safetensors
done
python3 - <<'END2' || fail 'groups are not what the numbers say'
import json
one, two = (json.load(open('g%d.json' % n))['groups'] for n in (1, 2))
assert 'runs' not in one['stream'] and one['stream']['units'] == 4, one
assert two['stream'] == {'units': 8, 'runs': [{'first': 2, 'count': 4, 'blocks': 2}, {'first': 0, 'count': 8, 'blocks': 2}]}, two
assert two['layer2.0.inner']['blocks'] == 2, two
END2
run 0 whet align cnn_a.safetensors cnn_b.safetensors --arch cnn:2 --output c2.safetensors
quiet
run 0 whet merge --method linear --align cnn:2 cnn_a.safetensors cnn_b.safetensors --output c3.safetensors

# Groups of so many channels, whatever the width. In the second stage the first one's 4 channels are 2 to 5 of 8.
run 0 whet align group_a.safetensors group_b.safetensors --arch auto:x2 --save-spec x2.json --output x2.safetensors
says 'architecture resnet:x2'
quiet
run 0 whet align group_a.safetensors group_b.safetensors --arch x2.json --output x2_again.safetensors
quiet
cmp x2.safetensors x2_again.safetensors || fail 'the saved specification does something else'
python3 - <<'END2' || fail 'groups are not of 2 channels'
import json
groups = json.load(open('x2.json'))['groups']
assert groups['stream']['runs'] == [{'first': 2, 'count': 4, 'blocks': 2}, {'first': 0, 'count': 8, 'blocks': 4}], groups
assert groups['layer1.0.inner']['blocks'] == 2 and groups['layer2.0.inner']['blocks'] == 4, groups
END2
run 0 whet align group_a.safetensors group_b.safetensors --arch auto:x4 --save-spec x4.json --output x4.safetensors
run 0 whet align group_a.safetensors group_b.safetensors --arch x4.json --output x4_again.safetensors
quiet
mark
run 3 whet align uneven_a.safetensors uneven_b.safetensors --arch auto:x2 --output o
tells "norms of groups of 2 channels cut each other's in a stream that is widened by zeros"
run 3 whet align group_a.safetensors group_b.safetensors --arch auto:x3 --output o
tells '"bn1.weight" is of 4 channels, that are no whole groups of 3'
for arch in auto:x auto:x0 auto:2x auto:xx2 auto:-2 auto:x1234567; do
    run 2 whet align group_a.safetensors group_b.safetensors --arch $arch --output o
    tells "architecture \"$arch\""
done
# config.json says how many groups there are; not others than another one, or what is given.
run 0 whet align gn2/model.safetensors gn2b --output config.safetensors
says 'architecture resnet:2'
tells 'note: norms are of 2 groups of channels, as config.json of gn2/model.safetensors says'
quiet_about 'running statistics'
cmp config.safetensors g2.safetensors || fail 'the number of config.json does something else'
run 0 whet align gn2 gn2b --arch auto:2 --output same.safetensors
quiet
run 0 whet merge --method linear --align auto gn2 gn2b --output mixed
tells 'norms are of 2 groups'
mark
run 3 whet align gn2 gn4 --output o
tells 'gn4: "num_groups" of its config.json is 4, and gn2 2; expected the same'
run 3 whet align gn2 gn2b --arch resnet:4 --output o
tells 'gn2: its config.json says 2 groups of channels for norms, and resnet:4 4'
unchanged

# A specification's own error is told alone, without a word about what is not verified.
python3 - <<'END2'
import copy, json
s = json.load(open('g2.json'))
def change(name, edit):
    t = copy.deepcopy(s)
    edit(t)
    json.dump(t, open(name, 'w'))
change('zero.json', lambda t: t.update(arch='resnet:0'))
change('number.json', lambda t: t.update(arch=5))
change('three.json', lambda t: t.update(arch='resnet:3'))
change('runs.json', lambda t: t['groups']['stream']['runs'][1].update(count=9))
change('cut.json', lambda t: t['groups']['stream']['runs'][0].update(blocks=3))
change('blocks.json', lambda t: t['groups']['layer1.0.inner'].update(blocks=3))
change('lacks.json', lambda t: t['tensors'].pop('bn1.bias'))
change('more.json', lambda t: t['tensors'].update({'more.bias': [None]}))
change('other.json', lambda t: t.update(arch='vgg'))
END2
refused() { # NAME SENTENCE
    run 3 whet align group_a.safetensors group_b.safetensors --arch "$1.json" --output o
    tells "whet: $1.json: $2"
    quiet_about 'cannot be run here'
}
mark
refused zero '"arch" is "resnet:0"; expected nothing behind the architecture, or what its norms are of'
refused number '"arch" is an integer; expected a string'
refused three 'resnet:3: norm bn1 is of 4 channels, that are no such groups'
refused runs 'networks do not fit: group "stream" has runs that are not of its 8 units'
refused cut 'networks do not fit: group "stream" has runs'
refused blocks 'networks do not fit: group "layer1.0.inner" has 4 units, that are no 3 blocks'
refused lacks 'networks do not fit: "bn1.bias" of the first is not in the specification'
refused more 'networks do not fit: "more.bias" is not in the first'
unchanged
run 0 whet align group_a.safetensors group_b.safetensors --arch other.json --output vgg.safetensors
tells 'other.json: that permutations keep the function is not verified: its networks cannot be run here'

# A model that ties its output layer beside one that does not: its table moves as both.
for pair in 'free tied' 'tied free'; do
    set -- $pair
    run 0 whet merge --method linear --weights 0.5,0.5 --align auto $1 $2 --output whole_$1
    python3 - whole_$1 $1 <<'END2' || fail "$1: not what it was"
import json, struct, sys
def read(folder):
    with open(folder + '/model.safetensors', 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
        at = f.tell()
        def bits(name):
            f.seek(at + header[name]['data_offsets'][0])
            return f.read(header[name]['data_offsets'][1] - header[name]['data_offsets'][0])
        return {name: bits(name) for name in header if name != '__metadata__'}
got, want = read(sys.argv[1]), read(sys.argv[2])
assert all(got[n] == want[n] for n in want), [n for n in want if got[n] != want[n]]
assert got.get('lm_head.weight', got['model.embed_tokens.weight']) == got['model.embed_tokens.weight']
END2
done

finish
