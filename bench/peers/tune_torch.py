# SPDX-License-Identifier: Apache-2.0
"""torch + transformers (+ peft) as the peer of whet tune.

    tune_torch.py steps MODEL THREADS f32|bf16 ROWS TOKENS full|lora [RANK query,key,value|all [dropout]]
        a worker: each line of standard input is one measured training step (forward, backward; AdamW
        when the line is `step`) of ROWS x TOKENS tokens, answered by "wall cpu loss peak-bytes"
    tune_torch.py train MODEL TRAIN.tsv TEXT SECOND|- LABEL EPOCHS RATE BATCH [VALID.tsv] [SEED]
        trains as whet tune does without dropout (AdamW, decay .01 of matrices, linear with 10 %
        warm-up, clipping at 1), in file order, or shuffled by SEED; prints one line of JSON: the losses, and
        accuracy, MCC or Pearson's correlation on VALID
    tune_torch.py mixed MODEL TRAIN.tsv TEXT LABEL padded|grouped THREADS
        one epoch of LoRA (PEFT, r 8 on query, key, value) on batches of 32, each padded to its longest text,
        in the file's order or sorted by length; prints wall, processor time, tokens, padded, peak
"""
import json
import random
import resource
import sys
import time

import torch
from transformers import (AutoModelForSequenceClassification, AutoTokenizer,
                          get_linear_schedule_with_warmup)


def groups(model):
    decay, rest = [], []
    for _, p in model.named_parameters():
        if p.requires_grad:
            (decay if p.dim() > 1 else rest).append(p)
    return [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]


ALL = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]


def steps(model_dir, threads, dtype, rows, tokens, mode, rank="8", targets="query,key,value",
          dropout=""):
    torch.set_num_threads(int(threads))
    torch.set_float32_matmul_precision("high")  # whet's training may, too
    model = AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=2)
    if mode == "lora":
        from peft import LoraConfig, get_peft_model
        targets = ALL if targets == "all" else targets.split(",")
        model = get_peft_model(model, LoraConfig(r=int(rank), lora_alpha=2 * int(rank), task_type="SEQ_CLS",
                                                 target_modules=targets))
    model.train(dropout == "dropout")  # as on the other side
    optimizer = torch.optim.AdamW(groups(model), lr=1e-5)
    n = int(rows) * int(tokens)
    ids = (1000 + torch.arange(n) * 7919 % 20000).reshape(int(rows), int(tokens))
    labels, mask = torch.arange(int(rows)) % 2, torch.ones_like(ids)
    print(torch.__version__, flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bf16"):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f"{wall:.9f} {cpu:.9f} {loss.item():.9g} {peak}", flush=True)


def read(path, text, second, label):
    with open(path, encoding="utf-8") as f:
        lines = [line.split("\t") for line in f.read().split("\n") if line]
    head = {name: i for i, name in enumerate(lines[0])}
    pairs = [(r[head[text]], r[head[second]] if second != "-" else None, r[head[label]]) for r in lines[1:]]
    return pairs


def encode(tokenizer, rows):
    first, second = [r[0] for r in rows], [r[1] for r in rows]
    return tokenizer(first, second if second[0] is not None else None, padding=True, truncation=True,
                     max_length=256, return_tensors="pt")


def score(model, tokenizer, rows, classes):
    guesses = []
    with torch.inference_mode():
        for i in range(0, len(rows), 32):
            guesses.append(model(**encode(tokenizer, rows[i:i + 32])).logits)
    logits = torch.cat(guesses)
    if not classes:
        truth = torch.tensor([float(r[2]) for r in rows])
        return {"pearson": torch.corrcoef(torch.stack([logits[:, 0], truth]))[0, 1].item()}
    truth = torch.tensor([classes[r[2]] for r in rows])
    guess = logits.argmax(1)
    n, k = len(rows), len(classes)
    counts = torch.zeros(k, k, dtype=torch.float64)
    for t, g in zip(truth, guess):
        counts[t, g] += 1
    right, t, g = counts.trace(), counts.sum(1), counts.sum(0)
    spread = (n * n - (g * g).sum()) * (n * n - (t * t).sum())
    mcc = ((right * n - (t * g).sum()) / spread.sqrt()).item() if spread > 0 else 0.0
    return {"accuracy": (right / n).item(), "mcc": mcc}


def train(model_dir, path, text, second, label, epochs, rate, batch, valid=None, seed=None):
    torch.manual_seed(0)
    epochs, batch = int(epochs), int(batch)
    model = AutoModelForSequenceClassification.from_pretrained(model_dir)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model.eval()
    rows = read(path, text, second, label)
    regression = model.config.problem_type == "regression"
    classes = None if regression else {k: v for v, k in model.config.id2label.items()}
    optimizer = torch.optim.AdamW(groups(model), lr=float(rate))
    total = epochs * ((len(rows) + batch - 1) // batch)
    schedule = get_linear_schedule_with_warmup(optimizer, int(0.1 * total), total)
    losses, shuffler = [], random.Random(seed)
    for _ in range(epochs):
        if seed is not None:
            shuffler.shuffle(rows)
        for i in range(0, len(rows), batch):
            part = rows[i:i + batch]
            labels = torch.tensor([float(r[2]) if regression else classes[r[2]] for r in part])
            optimizer.zero_grad(set_to_none=True)
            loss = model(**encode(tokenizer, part), labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    result = {"losses": losses}
    if valid and valid != "-":
        result["valid"] = score(model, tokenizer, read(valid, text, second, label), classes)
    print(json.dumps(result))


def mixed(model_dir, path, text, label, way, threads):
    from peft import LoraConfig, get_peft_model
    torch.set_num_threads(int(threads))
    torch.set_float32_matmul_precision("high")  # whet's training may, too
    rows = read(path, text, "-", label)
    classes = {name: i for i, name in enumerate(sorted({r[2] for r in rows}))}
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=len(classes))
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, task_type="SEQ_CLS",
                                             target_modules=["query", "key", "value"]))
    model.eval()  # no dropout, as on the other side
    optimizer = torch.optim.AdamW(groups(model), lr=1e-3)
    tokens = padded = 0

    def step(part):
        labels = torch.tensor([classes[r[2]] for r in part])
        batch = encode(tokenizer, part)
        optimizer.zero_grad(set_to_none=True)
        model(**batch, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return int(batch["attention_mask"].sum()), batch["input_ids"].numel()

    step(rows[:8])
    wall, cpu = time.perf_counter(), time.process_time()
    if way == "grouped":
        rows.sort(key=lambda r: len(r[0]))
    for i in range(0, len(rows), 32):
        real, whole = step(rows[i:i + 32])
        tokens, padded = tokens + real, padded + whole
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "tokens": tokens,
                      "padded": padded, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    {"steps": steps, "train": train, "mixed": mixed}[sys.argv[1]](*sys.argv[2:])
