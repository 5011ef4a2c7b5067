# SPDX-License-Identifier: Apache-2.0
"""torch + transformers as the peer of whet tune on language models.

    language_torch.py MODEL TRAIN.tsv TEXT TARGET|- LABEL|- EPOCHS RATE BATCH THREADS [VALID.tsv [SEED]]

Trains as whet tune does (AdamW, decay .01 of matrices, linear with 10 % warm-up, clipping at 1), in file
order, or shuffled by SEED; batches are padded to their longest text. With LABEL, a head for classes on the
last token; with TARGET, only what stands behind the prompt is asked for. Prints one line of JSON: the
losses, the loss a token (or accuracy) on VALID, seconds, processor time, tokens, peak.
"""
import json
import random
import resource
import sys
import time

import torch
from tokenizers import Tokenizer
from transformers import (AutoModelForCausalLM, AutoModelForSequenceClassification,
                          get_linear_schedule_with_warmup)


def groups(model):
    decay, rest = [], []
    for p in model.parameters():
        (decay if p.dim() > 1 else rest).append(p)
    return [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]


def read(path, columns):
    with open(path, encoding="utf-8") as f:
        lines = [line.split("\t") for line in f.read().split("\n") if line]
    at = [lines[0].index(c) if c != "-" else None for c in columns]
    return [[r[i] if i is not None else None for i in at] for r in lines[1:]]


def encode(tokenizer, row, end):
    """Tokens and where what is asked for begins."""
    text, target, label = row
    if label is not None:
        return tokenizer.encode(text).ids, 0
    prompt = tokenizer.encode(text).ids
    if target is None:
        return prompt + [end], 1
    ids = tokenizer.encode(f"{text} {target}").ids + [end]
    same = next((i for i, (a, b) in enumerate(zip(prompt, ids)) if a != b), len(prompt))
    return ids, max(same, 1)


def batch_of(rows, end):
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), longest), end)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for i, (row, asked) in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
        mask[i, :len(row)] = 1
        labels[i, asked:len(row)] = ids[i, asked:len(row)]
    return ids, mask, labels


def main(model_dir, path, text, target, label, epochs, rate, batch, threads, valid=None, seed=None):
    torch.set_num_threads(int(threads))
    epochs, batch = int(epochs), int(batch)
    kind = AutoModelForCausalLM if label == "-" else AutoModelForSequenceClassification
    model = kind.from_pretrained(model_dir)
    end = model.config.eos_token_id
    model.config.pad_token_id = end
    tokenizer = Tokenizer.from_file(f"{model_dir}/tokenizer.json")
    classes = None if label == "-" else {k: v for v, k in model.config.id2label.items()}

    def load(name):
        rows = read(name, (text, target, label))
        return [(*encode(tokenizer, r, end), classes and classes[r[2]]) for r in rows]

    def forward(part):
        ids, mask, labels = batch_of([r[:2] for r in part], end)
        if classes:
            # The last token is found by the padding token, which texts do not have.
            where = mask.sum(1) - 1
            hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
            logits = model.score(hidden[torch.arange(len(part)), where])
            truth = torch.tensor([r[2] for r in part])
            return (torch.nn.functional.cross_entropy(logits, truth),
                    (logits.argmax(1) == truth).sum().item(), len(part))
        asked = (labels[:, 1:] >= 0).sum().item()
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        return loss, loss.item() * asked, asked

    rows = load(path)
    optimizer = torch.optim.AdamW(groups(model), lr=float(rate))
    total = epochs * ((len(rows) + batch - 1) // batch)
    schedule = get_linear_schedule_with_warmup(optimizer, int(0.1 * total), total)
    losses, shuffler = [], random.Random(seed)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(epochs):
        if seed is not None:
            shuffler.shuffle(rows)
        for i in range(0, len(rows), batch):
            optimizer.zero_grad(set_to_none=True)
            loss, _, _ = forward(rows[i:i + batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    result = {"losses": losses, "seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu,
              "tokens": epochs * sum(len(r[0]) for r in rows),
              "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if valid and valid != "-":
        held, sums, counts = load(valid), 0.0, 0
        with torch.inference_mode():
            for i in range(0, len(held), 32):
                _, part, n = forward(held[i:i + 32])
                sums, counts = sums + part, counts + n
        result["valid"] = sums / counts
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
