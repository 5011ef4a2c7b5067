# SPDX-License-Identifier: Apache-2.0
"""Embeddings of texts.txt by all-MiniLM-L6-v2, as torch and transformers compute them in float64.

    python3 generate.py MODEL_FOLDER        (needs torch, transformers, safetensors)

The test runs where WHET_TEST_MODEL names the folder. Made with torch 2.15.0, transformers 5.23.0.
"""
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

folder = os.path.abspath(sys.argv[1])
os.chdir(os.path.dirname(os.path.abspath(__file__)))
model = AutoModel.from_pretrained(folder).eval().double()
tokenizer = AutoTokenizer.from_pretrained(folder)
with open("texts.txt", encoding="utf-8") as f:
    texts = f.read().split("\n")[:-1]
out = []
with torch.inference_mode():
    for text in texts:
        one = tokenizer([text], truncation=True, max_length=256, return_tensors="pt")
        mean = model(**one).last_hidden_state[0].mean(0)
        out.append(mean / mean.norm())
save_file({"expected": torch.stack(out).float()}, "expected.safetensors")
