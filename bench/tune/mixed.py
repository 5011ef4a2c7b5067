#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""LoRA on real text of mixed lengths: whet tune beside a padded PEFT loop, paired rounds, as JSON.

    bench/tune/mixed.py WHET MODEL DATA PEER_PYTHON [--rounds 5] [--threads 2] [--sets a,b]
        > bench/results/train_mixed.json

One epoch over the same texts, rank 8 on query, key and value, batches of 32, at most 256 tokens, no
dropout. whet is the whole process, with loading and writing; the peer is its loop alone, tokenization
included, after a first step to warm up. A rate counts real tokens, not padding. "grouped" sorts the
peer's rows by length first. The machine may be shared: processor time is what to compare.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SETS = {"agnews": ("agnews/train10k.tsv", "label", 512), "clinc150": ("clinc150/train.tsv", "intent", 1024),
        "imdb2000": ("imdb2000/all.tsv", "label", 64)}
WAYS = ("padded", "grouped")


def subset(args, name, path):
    """The first rows of a fixed shuffle; a class that has one row is harmless here."""
    file, _, rows = SETS[name]
    with open(os.path.join(args.data, file), encoding="utf-8") as f:
        head, *lines = f.read().splitlines()
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join([head, *random.Random(0).sample(lines, rows)]) + "\n")


def whet(args, label, table, output, dtype):
    command = [args.whet, "tune", "--model", args.model, "--train", table, "--label", label, "--output", output,
               "--adapter", "lora", "--epochs", "1", "--batch", "32", "--max-length", "256", "--dropout", "0",
               "--dtype", dtype, "--threads", str(args.threads), "--quiet", "--force"]
    wall = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - wall
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    with open(f"{output}/training.json", encoding="utf-8") as f:
        tokens = json.load(f)["train"]["tokens"]
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "tokens": tokens, "peak": used.ru_maxrss * 1024}


def peer(args, label, table, way):
    command = [args.peer, f"{HERE}/../peers/tune_torch.py", "mixed", args.model, table, "text", label, way,
               str(args.threads)]
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


def case(args, name, folder):
    table, label = f"{folder}/{name}.tsv", SETS[name][1]
    subset(args, name, table)
    sides = {f"whet {d}": [] for d in ("f32", "bf16")} | {f"PEFT f32 {w}": [] for w in WAYS}
    for _ in range(args.rounds):
        for d in ("f32", "bf16"):
            sides[f"whet {d}"].append(whet(args, label, table, f"{folder}/out", d))
        for w in WAYS:
            sides[f"PEFT f32 {w}"].append(peer(args, label, table, w))
    tokens = sides["whet f32"][0]["tokens"]
    record = {"rows": SETS[name][2], "tokens": {s: r[0]["tokens"] for s, r in sides.items()},
              "padded_tokens": {w: sides[f"PEFT f32 {w}"][0]["padded"] for w in WAYS}}
    for what in ("wall", "cpu"):
        record[f"tokens_per_{what}_second"] = {
            s: round(tokens / statistics.median(x[what] for x in r), 1) for s, r in sides.items()}
    record["peak_megabytes"] = {s: round(max(x["peak"] for x in r) / 1e6) for s, r in sides.items()}
    for d in ("f32", "bf16"):
        for w in WAYS:
            ratios = [b["cpu"] / a["cpu"] for a, b in zip(sides[f"whet {d}"], sides[f"PEFT f32 {w}"])]
            record[f"whet {d} to PEFT f32 {w}"] = {
                "cpu": round(statistics.median(ratios), 3), "cpu_spread": [round(min(ratios), 3), round(max(ratios), 3)],
                "wall": round(statistics.median(b["wall"] / a["wall"] for a, b in
                                                zip(sides[f"whet {d}"], sides[f"PEFT f32 {w}"])), 3)}
    return record


def main():
    p = argparse.ArgumentParser()
    for name in ("whet", "model", "data", "peer"):
        p.add_argument(name)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--sets", default=",".join(SETS))
    args = p.parse_args()
    record = {"bench": "LoRA on text of mixed lengths", "model": "all-MiniLM-L6-v2", "rounds": args.rounds,
              "threads": args.threads, "load_before": os.getloadavg()[0], "sets": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.sets.split(","):
            record["sets"][name] = case(args, name, folder)
            print(name, json.dumps(record["sets"][name]), file=sys.stderr, flush=True)
    record["load_after"] = os.getloadavg()[0]
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
