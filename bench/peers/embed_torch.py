# SPDX-License-Identifier: Apache-2.0
"""transformers + torch as the peer of whet embed (bench/nn/run_embed.py starts it).

    embed_torch.py rounds MODEL THREADS f32|bf16 IDS ROWS TOKENS
        a worker: each line `embed` on standard input is one measured forward pass of ROWS x TOKENS
        ids (raw i32 file), answered by "wall-seconds cpu-seconds"; `vectors FILE` writes the last
        embeddings as raw f32
    embed_torch.py table MODEL THREADS TABLE.tsv COLUMN OUT.npy f32|bf16
        what users write: read, batches of 64 in file order, padding, truncation, mean, normalise
"""
import sys
import time

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

LIMIT = 256


def pooled(model, ids, mask):
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weight).sum(1) / weight.sum(1)
    return torch.nn.functional.normalize(mean, dim=1)


def rounds(model_dir, threads, dtype, ids_file, rows, tokens):
    torch.set_num_threads(int(threads))
    model = AutoModel.from_pretrained(model_dir).eval()
    if dtype == "bf16":
        model = model.to(torch.bfloat16)
    ids = torch.from_numpy(np.fromfile(ids_file, np.int32).reshape(int(rows), int(tokens)).astype(np.int64))
    mask = torch.ones_like(ids)
    out = None
    print(torch.__version__, flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            wall, cpu = time.perf_counter(), time.process_time()
            if line.strip() == "embed":
                out = pooled(model, ids, mask)
            else:
                out.float().numpy().tofile(line.strip().split(" ", 1)[1])
            print(f"{time.perf_counter() - wall:.9f} {time.process_time() - cpu:.9f}", flush=True)


def table(model_dir, threads, path, column, out, dtype):
    torch.set_num_threads(int(threads))
    model = AutoModel.from_pretrained(model_dir).eval()
    if dtype == "bf16":
        model = model.to(torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    with open(path, encoding="utf-8") as f:
        lines = [line.split("\t") for line in f.read().split("\n") if line]
    at = lines[0].index(column)
    texts = [line[at] for line in lines[1:]]
    vectors = []
    with torch.inference_mode():
        for i in range(0, len(texts), 64):
            batch = tokenizer(texts[i:i + 64], padding=True, truncation=True, max_length=LIMIT,
                              return_tensors="pt")
            vectors.append(pooled(model, batch["input_ids"], batch["attention_mask"]).float().numpy())
    np.save(out, np.concatenate(vectors))


if __name__ == "__main__":
    {"rounds": rounds, "table": table}[sys.argv[1]](*sys.argv[2:])
