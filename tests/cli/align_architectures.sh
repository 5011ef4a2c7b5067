#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet align and merge: what shapes do not tell (heads of attention, kinds of residual networks and of norms).
. "$(dirname "$0")/lib.sh"

cat >make.py <<'END2'
import json, os, random, struct

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
                       ('each', {'num_attention_heads': 4, 'num_key_value_heads': 4})):
    write(folder + '/model.safetensors', llama)
    with open(folder + '/config.json', 'w') as f:
        json.dump(config, f)
write('alone/a.safetensors', llama)
mlp = {'layer0.weight': [4, 3], 'layer0.bias': [4], 'layer1.weight': [2, 4], 'layer1.bias': [2]}
write('m.safetensors', mlp)
write('n.safetensors', mlp)
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

finish
