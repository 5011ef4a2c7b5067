# SPDX-License-Identifier: Apache-2.0
"""Tiny Llama, Mistral and Qwen2 folders as transformers saves them, with the logits, the loss and every
gradient of one batch. Made with torch 2.15 and transformers 5.

    python3 tests/golden/llama/generate.py
"""
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


def main():
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
