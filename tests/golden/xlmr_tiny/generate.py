# SPDX-License-Identifier: Apache-2.0
"""Makes tiny random encoders with SentencePiece's tokenizer as transformers saves them, and what torch and
transformers say their embeddings are.

    python3 generate.py        (needs torch, transformers, tokenizers, safetensors, numpy)

xlm-roberta/  XLMRobertaModel, in several files with an index
camembert/    CamembertModel, its tokenizer with its own special tokens
bert/         BertModel with XLM-RoBERTa's tokenizer, as paraphrase-multilingual-MiniLM-L12-v2 is

Each folder gets expected.safetensors: "expected" [texts, hidden] (f32, the mean over tokens, normalised, computed
in float64 of what AutoModel and AutoTokenizer read). texts.txt holds one text a line, shared by all. The vocabulary
is that of tests/golden/tokenizer/unigram_xlmr.json. Made with torch 2.15.0, transformers 5.24.0, tokenizers 0.23.3.
"""
import base64
import json
import os
import shutil

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (AutoModel, AutoTokenizer, BertConfig, BertModel, CamembertConfig, CamembertModel,
                          CamembertTokenizer, XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer)

TEXTS = [
    "the quick brown fox",
    "",
    "  unaffable   tokenizers, running ",
    "caf\u00e9 cafe\u0301 na\u00efve \uff21\u0301\uff22 \u2460 \ufdfa",
    "\u6771\u4eac \ud55c \u043f\u0440\u0438\u0432\u0435\u0442 \u05e9\u05dc\u05d5\u05dd",
    "\U0001f600 \U0001f469\u200d\U0001f4bb",
    "<mask> and <s> and <unk> here </s>",
    "the the the the the the the the the the the the the the the the the the the the the the",
    "hello \u2581world",
    "a <pad> the <pad><pad> quick",  # of RoBERTa, what is padding by name is at no position
]


def vocabulary():
    with open("../tokenizer/unigram_xlmr.json", encoding="utf-8") as file:
        content = json.load(file)
    return ([tuple(pair) for pair in content["model"]["vocab"]],
            base64.b64decode(content["normalizer"]["precompiled_charsmap"]))


def make(folder, model_class, config_class, tokenizer_class, vocab, charsmap, shards=None, **config):
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(len(folder))
    model = model_class(config_class(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=26, **config))
    for p in model.parameters():  # norms and biases away from their defaults
        torch.nn.init.normal_(p, 0.0 if p.ndim > 1 else 0.5, 0.3)
    model.save_pretrained(folder, max_shard_size=shards or "1GB")
    tokenizer = tokenizer_class(vocab=vocab, _spm_precompiled_charsmap=charsmap, model_max_length=24)
    tokenizer.save_pretrained(folder)
    model, tokenizer = AutoModel.from_pretrained(folder).double().eval(), AutoTokenizer.from_pretrained(folder)
    out = []
    with torch.inference_mode():
        for text in TEXTS:
            hidden = model(**tokenizer(text, truncation=True, return_tensors="pt")).last_hidden_state[0]
            pooled = hidden.mean(0)
            out.append((pooled / pooled.norm()).numpy())
    save_file({"expected": torch.tensor(np.array(out).astype(np.float32))}, f"{folder}/expected.safetensors")


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    with open("texts.txt", "w", encoding="utf-8") as file:
        file.writelines(text + "\n" for text in TEXTS)
    vocab, charsmap = vocabulary()
    roberta = dict(type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5)
    make("xlm-roberta", XLMRobertaModel, XLMRobertaConfig, XLMRobertaTokenizer, vocab, charsmap, "16KB", **roberta)
    names = {"<s>": "<s>NOTUSED", "</s>": "</s>NOTUSED"}
    french = [(names.get(token, token), score) for token, score in vocab[:4]] + [("<unk>NOTUSED", -100.0)]
    french += vocab[4:] + [("<s>", 0.0), ("</s>", 0.0)]
    make("camembert", CamembertModel, CamembertConfig, CamembertTokenizer, french, charsmap, **roberta)
    make("bert", BertModel, BertConfig, XLMRobertaTokenizer, vocab, charsmap, type_vocab_size=2)


if __name__ == "__main__":
    main()
