# SPDX-License-Identifier: Apache-2.0
"""Makes two tiny random BERT folders and what torch and transformers say their embeddings are.

    python3 generate.py        (needs torch, transformers, tokenizers, safetensors, numpy)

even/  2 layers, 2 heads of 16, f32, gelu
odd/   1 layer, 3 heads of 20, bfloat16, names that start with "bert.", gelu_new, CLS pooling in
       1_Pooling/config.json, max_seq_length 12

Each folder gets expected.safetensors: "expected" [texts, hidden] (f32, normalised, computed in
float64), "ids" and "start" (the token rows). texts.txt holds one text a line, shared by both.
Made with torch 2.15.0, transformers 5.23.0, tokenizers 0.23.3, seed 7.
"""
import json
import os
import string

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

TEXTS = [
    "a good video",
    "",
    "bad",
    "the song is good and the video is bad",
    "zebra!",
    "check out my channel please, it is good: subscribe",
    "Good Video",
    "q",
    "the the the the the the the the the the the the the the the the the the the the",
    "unknown \u4e2d\u6587 here",
]
WORDS = ["the", "is", "a", "good", "bad", "video", "song", "and", "my", "it", "out", "channel"]
VOCAB = (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(string.ascii_lowercase)
         + ["##" + c for c in string.ascii_lowercase] + list("!,.:?") + WORDS[:2] + WORDS[3:])


def make_tokenizer():
    vocab = {token: i for i, token in enumerate(dict.fromkeys(VOCAB))}
    t = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])])
    return t, vocab


def make(folder, config, dtype, prefix, cls, limit):
    os.makedirs(folder, exist_ok=True)
    tokenizer, vocab = make_tokenizer()
    config.vocab_size = len(vocab)
    torch.manual_seed(7)
    model = BertModel(config).eval()
    for name, p in model.named_parameters():  # norms and biases away from their defaults
        with torch.no_grad():
            if p.ndim == 1:
                p.add_(torch.randn_like(p) * 0.1)
            else:
                p.copy_(torch.randn_like(p) * 0.15)
            p.copy_(p.to(dtype).float())
    state = {prefix + k: v.to(dtype).contiguous() for k, v in model.state_dict().items()
             if "pooler" not in k and "position_ids" not in k}
    save_file(state, f"{folder}/model.safetensors")
    wanted = ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
              "hidden_act", "layer_norm_eps", "vocab_size", "max_position_embeddings",
              "type_vocab_size"]
    with open(f"{folder}/config.json", "w") as f:
        json.dump({"model_type": "bert", "position_embedding_type": "absolute",
                   **{k: getattr(config, k) for k in wanted}}, f, indent=1)
    tokenizer.save(f"{folder}/tokenizer.json", pretty=False)
    if cls:
        os.makedirs(f"{folder}/1_Pooling", exist_ok=True)
        with open(f"{folder}/1_Pooling/config.json", "w") as f:
            json.dump({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, f)
    if limit:
        with open(f"{folder}/sentence_bert_config.json", "w") as f:
            json.dump({"max_seq_length": limit, "do_lower_case": False}, f)
        tokenizer.enable_truncation(limit)
    model = model.double()
    rows = [tokenizer.encode(text).ids for text in TEXTS]
    out = []
    with torch.inference_mode():
        for ids in rows:
            hidden = model(input_ids=torch.tensor([ids]),
                           attention_mask=torch.ones(1, len(ids), dtype=torch.long))
            hidden = hidden.last_hidden_state[0]
            pooled = hidden[0] if cls else hidden.mean(0)
            out.append((pooled / pooled.norm()).numpy())
    save_file({"expected": torch.tensor(np.array(out).astype(np.float32)),
               "ids": torch.tensor(np.concatenate(rows).astype(np.int32)),
               "start": torch.tensor(np.cumsum([0] + [len(r) for r in rows]))},
              f"{folder}/expected.safetensors")


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    with open("texts.txt", "w") as f:
        f.write("".join(text + "\n" for text in TEXTS))
    make("even", BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                            intermediate_size=64, max_position_embeddings=40, hidden_act="gelu",
                            layer_norm_eps=1e-12), torch.float32, "", False, None)
    make("odd", BertConfig(hidden_size=60, num_hidden_layers=1, num_attention_heads=3,
                           intermediate_size=100, max_position_embeddings=50,
                           hidden_act="gelu_new", layer_norm_eps=1e-5), torch.bfloat16, "bert.",
         True, 12)
