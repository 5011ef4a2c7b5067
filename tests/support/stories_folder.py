# SPDX-License-Identifier: Apache-2.0
"""Makes a Hugging Face folder from the files of stories260K (a Llama of 260,000 numbers).

    python3 tests/support/stories_folder.py SOURCE TARGET

Its rotary embeddings turn neighbouring numbers; transformers turns numbers half a head apart: rows of
queries and keys change places. Merges follow from the vocabulary: every way to cut a token into two
tokens, in the order of the tokens' scores, as converters of SentencePiece models do.
"""
import json
import os
import struct
import sys

LAYERS, HEADS, GROUPS, DIM, INNER, VOCAB, POSITIONS = 5, 8, 4, 64, 172, 512, 512
NAMES = {"attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj",
         "attention.wv": "self_attn.v_proj", "attention.wo": "self_attn.o_proj",
         "feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj",
         "feed_forward.w3": "mlp.up_proj", "attention_norm": "input_layernorm",
         "ffn_norm": "post_attention_layernorm"}


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    body = data[8 + size:]
    return {name: (t["shape"], body[t["data_offsets"][0]:t["data_offsets"][1]])
            for name, t in header.items() if name != "__metadata__"}


def write(path, tensors):
    header, body = {}, b""
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + body)


def halves(shape, data, heads):
    """Rows of each head: the even ones, then the odd ones."""
    d, width = shape[0] // heads, 4 * shape[1]
    rows = [data[i * width:(i + 1) * width] for i in range(shape[0])]
    return b"".join(rows[h * d + i] for h in range(heads) for i in [*range(0, d, 2), *range(1, d, 2)])


def convert(tensors):
    out = {}
    for name, (shape, data) in tensors.items():
        if name.startswith("layers."):
            _, layer, rest = name.split(".", 2)
            part = rest.rsplit(".", 1)[0]
            if part in ("attention.wq", "attention.wk"):
                data = halves(shape, data, HEADS if part == "attention.wq" else GROUPS)
            out[f"model.layers.{layer}.{NAMES[part]}.weight"] = (shape, data)
        elif "embed" in name or name.startswith("tok"):
            out["model.embed_tokens.weight"] = (shape, data)
        elif name.startswith("norm"):
            out["model.norm.weight"] = (shape, data)
    return out


def tokenizer(path):
    vocab, merges = {}, []
    with open(path, encoding="utf-8") as f:
        for line in f.read().split("\n")[1:]:
            if line:
                number, _, code, _ = line.split("\t", 3)
                text = bytes.fromhex(code).decode("utf-8").strip("\n").replace(" ", "\u2581")
                vocab[text] = int(number)
    for text, number in sorted(vocab.items(), key=lambda item: item[1]):
        if number >= 259:
            cuts = [(text[:i], text[i:]) for i in range(1, len(text))]
            merges += sorted([c for c in cuts if c[0] in vocab and c[1] in vocab],
                             key=lambda c: (vocab[c[0]], vocab[c[1]]))
    special = [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True} for i, c in enumerate(("<unk>", "<s>", "</s>"))]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True,
                  "ignore_merges": False, "vocab": vocab, "merges": [list(m) for m in merges]},
    }


def main(source, target):
    os.makedirs(target, exist_ok=True)
    write(f"{target}/model.safetensors", convert(read(f"{source}/stories260K.safetensors")))
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": DIM,
              "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
              "num_key_value_heads": GROUPS, "vocab_size": VOCAB, "max_position_embeddings": POSITIONS,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
              "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2}
    for name, value in (("config.json", config), ("tokenizer.json", tokenizer(f"{source}/tok512.tsv"))):
        with open(f"{target}/{name}", "w", encoding="utf-8") as f:
            json.dump(value, f)


if __name__ == "__main__":
    main(*sys.argv[1:])
