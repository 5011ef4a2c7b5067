# SPDX-License-Identifier: Apache-2.0
"""Tiny Llama, Mistral and Qwen2 folders as transformers saves them, with the logits, the loss and every
gradient of one batch; and tokenizers for them. Made with torch 2.15 and transformers 5.

    python3 tests/golden/llama/generate.py
"""
import json
import os
import shutil

import torch
from safetensors.torch import save_file
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM)

HERE = os.path.dirname(os.path.abspath(__file__))
COMMON = dict(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, intermediate_size=20, initializer_range=0.3, bos_token_id=1,
              eos_token_id=2)
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig(max_position_embeddings=64, tie_word_embeddings=False, **COMMON)),
    "llama3": (LlamaForCausalLM, LlamaConfig(
        max_position_embeddings=64, tie_word_embeddings=True, head_dim=8, attention_bias=True, mlp_bias=True,
        rope_parameters={"rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 16}, **COMMON)),
    "mistral": (MistralForCausalLM, MistralConfig(max_position_embeddings=64, sliding_window=None, **COMMON)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(max_position_embeddings=64, rope_parameters={
        "rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}, **COMMON)),
}
LENGTHS = [5, 1, 12, 3]
CHARACTERS = "abcdefghijklmnopqrstuvwxyz "  # ids 3..29


def write_tokenizers():
    """A character a token, so that any ids are a text: tokenizer_plain.json, and one that begins texts with <s>."""
    vocab = {name: i for i, name in enumerate(["<unk>", "<s>", "</s>", *CHARACTERS])}
    begin = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                      {"Sequence": {"id": "A", "type_id": 0}}],
             "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
             "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    for name, post in (("plain", None), ("begin", begin)):
        added = [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False,
                  "normalized": False, "special": True} for i, c in enumerate(["<unk>", "<s>", "</s>"])]
        with open(os.path.join(HERE, f"tokenizer_{name}.json"), "w", encoding="utf-8") as f:
            json.dump({"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
                       "normalizer": None, "pre_tokenizer": None, "post_processor": post,
                       "decoder": {"type": "Fuse"},
                       "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                                 "continuing_subword_prefix": None, "end_of_word_suffix": None,
                                 "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []}},
                      f, indent=1)
            f.write("\n")


def main():
    write_tokenizers()
    for name, (kind, config) in MODELS.items():
        torch.manual_seed(len(name))
        model = kind(config)
        model.eval()
        for key, p in model.named_parameters():
            torch.nn.init.normal_(p, 1.0 if "norm" in key else 0.0, 0.3)
        rows = [torch.randint(3, 30, (n,)) for n in LENGTHS]
        # The loss of all next tokens of all texts; each text by itself, so that nothing is padded.
        logits, labels = [], []
        for row in rows:
            logits.append(model(input_ids=row[None]).logits[0])
            labels.append(torch.cat([row[1:], torch.tensor([-100])]))
        logits, labels = torch.cat(logits), torch.cat(labels)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        folder = os.path.join(HERE, name)
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        out = {
            "ids": torch.cat(rows).int(), "labels": labels.int(),
            "start": torch.tensor([0] + LENGTHS).cumsum(0).to(torch.int64),
            "logits": logits.detach(), "loss": loss.detach().reshape(1),
        }
        out.update({"gradient." + k: p.grad for k, p in model.named_parameters()})
        save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "expected.safetensors"))


if __name__ == "__main__":
    main()
