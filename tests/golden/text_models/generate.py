# SPDX-License-Identifier: Apache-2.0
"""Tiny BERT, RoBERTa and DistilBERT folders as transformers saves them, with the logits, the loss and
every gradient that torch computes for one batch of sentences (pairs for BERT). Needs torch,
transformers and safetensors; made with torch 2.15 and transformers 5.

    python3 tests/golden/text_models/generate.py
"""
import os
import shutil

import torch
from safetensors.torch import save_file
from transformers import (BertConfig, BertForSequenceClassification, DistilBertConfig,
                          DistilBertForSequenceClassification, RobertaConfig,
                          RobertaForSequenceClassification)

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = dict(vocab_size=40, num_labels=3)
COMMON = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
              initializer_range=0.2, **SIZES)
MODELS = {
    "bert": BertForSequenceClassification(BertConfig(max_position_embeddings=12, **COMMON)),
    "roberta": RobertaForSequenceClassification(
        RobertaConfig(max_position_embeddings=14, type_vocab_size=1, pad_token_id=1, **COMMON)),
    "distilbert": DistilBertForSequenceClassification(
        DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=12,
                         initializer_range=0.2, **SIZES)),
}
LENGTHS = [5, 1, 12, 3]
LABELS = [2, 0, 1, 1]


def main():
    for name, model in MODELS.items():
        torch.manual_seed(len(name))
        model.eval()
        for key, p in model.named_parameters():  # biases and norms too, so that all of them count
            norm = key.lower().replace("_", "").endswith("layernorm.weight")
            torch.nn.init.normal_(p, 1.0 if norm else 0.0, 0.2)
        width = max(LENGTHS)
        ids = torch.randint(5, 40, (len(LENGTHS), width))
        mask = torch.zeros_like(ids)
        types = torch.zeros_like(ids)
        for i, n in enumerate(LENGTHS):
            mask[i, :n] = 1
            ids[i, n:] = 1
            types[i, n // 2:n] = 1
        kwargs = dict(input_ids=ids, attention_mask=mask, labels=torch.tensor(LABELS))
        if name == "bert":
            kwargs["token_type_ids"] = types
        result = model(**kwargs)
        result.loss.backward()
        folder = os.path.join(HERE, name)
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        pick = mask.bool()
        out = {
            "ids": ids[pick].int(), "types": types[pick].to(torch.uint8),
            "start": torch.tensor([0] + LENGTHS).cumsum(0).to(torch.int64),
            "labels": torch.tensor(LABELS, dtype=torch.int32),
            "logits": result.logits.detach(), "loss": result.loss.detach().reshape(1),
        }
        out.update({"gradient." + k: p.grad for k, p in model.named_parameters()})
        save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "expected.safetensors"))


if __name__ == "__main__":
    main()
