#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes checkpoints of the shape of a language model, of about the size asked for.

Usage: checkpoints.py FOLDER GB DTYPE SEED NAME...   (DTYPE F32, F16 or BF16)
Each NAME becomes FOLDER/NAME/{model.safetensors, config.json}, or FOLDER/NAME.safetensors. Numbers are normal, standard
deviation 0.02; those of the second name on are the first's plus noise of 0.002, as fine-tuned models' are. Needs numpy.
"""
import json
import os
import struct
import sys

import numpy

WIDTH, INNER, VOCAB = 2048, 5632, 32000


def shapes(numbers):
    """(name, shape) of all tensors: as many layers as fit."""
    layer = [("self_attn.q_proj", (WIDTH, WIDTH)), ("self_attn.k_proj", (WIDTH, WIDTH)),
             ("self_attn.v_proj", (WIDTH, WIDTH)), ("self_attn.o_proj", (WIDTH, WIDTH)),
             ("mlp.gate_proj", (INNER, WIDTH)), ("mlp.up_proj", (INNER, WIDTH)),
             ("mlp.down_proj", (WIDTH, INNER)), ("input_layernorm", (WIDTH,)),
             ("post_attention_layernorm", (WIDTH,))]
    size = sum(int(numpy.prod(s)) for _, s in layer)
    layers = max(1, round((numbers - 2 * VOCAB * WIDTH) / size))
    found = [("model.embed_tokens.weight", (VOCAB, WIDTH))]
    for i in range(layers):
        found += [(f"model.layers.{i}.{name}.weight", shape) for name, shape in layer]
    return found + [("model.norm.weight", (WIDTH,)), ("lm_head.weight", (VOCAB, WIDTH))], layers


def stored(x, dtype):
    if dtype == "F32":
        return x.astype("<f4").tobytes()
    if dtype == "F16":
        return x.astype("<f2").tobytes()
    return (x.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


def write(path, tensors, dtype, seed, noise):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    size = 4 if dtype == "F32" else 2
    for name, shape in tensors:
        end = at + size * int(numpy.prod(shape))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for i, (_, shape) in enumerate(tensors):
            x = numpy.random.Generator(numpy.random.SFC64([seed, i])).standard_normal(
                shape, dtype=numpy.float32) * numpy.float32(0.02)
            if noise:
                x += numpy.random.Generator(numpy.random.SFC64([noise, i])).standard_normal(
                    shape, dtype=numpy.float32) * numpy.float32(0.002)
            out.write(stored(x, dtype))


def main():
    folder, gigabytes, dtype, seed = sys.argv[1], float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    tensors, layers = shapes(gigabytes * 1e9 / (4 if dtype == "F32" else 2))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH,
              "intermediate_size": INNER, "num_hidden_layers": layers, "vocab_size": VOCAB,
              "num_attention_heads": 16, "num_key_value_heads": 16, "rms_norm_eps": 1e-5,
              "tie_word_embeddings": False, "hidden_act": "silu"}
    for i, name in enumerate(sys.argv[5:]):
        path = os.path.join(folder, name)
        if not name.endswith(".safetensors"):
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, "config.json"), "w", encoding="utf-8") as out:
                json.dump(config, out)
            path = os.path.join(path, "model.safetensors")
        write(path, tensors, dtype, seed, 1000 + i if i else 0)


if __name__ == "__main__":
    main()
