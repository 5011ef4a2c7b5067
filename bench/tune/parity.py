#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""whet tune beside torch on real data: the losses of the first 20 steps from equal weights on equal
batches, and the validation metric after training on whole sets.

    bench/tune/parity.py WHET MODEL DATA PEER_PYTHON [--full SETS] [--seeds 3] [--rows 2000]
        > bench/results/tune_parity.json

First steps: the batch is the whole of a small table, so that its order does not matter; the head is
the one that whet drew, read by torch from whet's own output folder. --full: at most --rows training
rows (the same for both), two epochs, batches of 16 at 5e-5, no dropout, each side with its own order
of the rows; the validation metric at the end, a seed a run.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

# train, validation, text, second text, label, metric
SETS = {
    "sst2": ("sst2/sentences_train.tsv", "sst2/sentences_dev.tsv", "text", "-", "label", "accuracy"),
    "trec": ("trec/train.tsv", "trec/test.tsv", "text", "-", "coarse", "accuracy"),
    "cola": ("cola/train.tsv", "cola/dev.tsv", "text", "-", "label", "mcc"),
    "rte": ("rte/train.tsv", "rte/dev.tsv", "text_a", "text_b", "label", "accuracy"),
    "mrpc": ("mrpc/train.tsv", "mrpc/test.tsv", "text_a", "text_b", "label", "accuracy"),
    "stsb": ("stsb/train.tsv", "stsb/dev.tsv", "text_a", "text_b", "score", "pearson"),
}
HERE = os.path.dirname(os.path.abspath(__file__))


def run(command):
    p = subprocess.run(command, capture_output=True, text=True, check=False)
    if p.returncode != 0:
        sys.exit(f"failed: {' '.join(command)}\n{p.stderr}")
    return p.stdout


def whet(args, name, model, train, output, *more):
    _, _, text, second, label, _ = SETS[name]
    command = [args.whet, "tune", "--model", model, "--train", train, "--text", text, "--label", label,
               "--output", output, "--dropout", "0", "--quiet", "--force", *more]
    if second != "-":
        command += ["--second", second]
    run(command)


def torch(args, name, model, train, *more):
    _, _, text, second, label, _ = SETS[name]
    out = run([args.peer, f"{HERE}/../peers/tune_torch.py", "train", model, train, text, second, label,
               *more])
    return json.loads(out.splitlines()[-1])


def losses(folder):
    with open(f"{folder}/metrics.jsonl", encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    return [r["loss"] for r in rows if "loss" in r]


def first_steps(args, name, folder):
    with open(os.path.join(args.data, SETS[name][0]), encoding="utf-8") as f:
        lines = f.read().splitlines()
    step = max(1, (len(lines) - 1) // 64)
    small = [lines[0]] + lines[1::step][:64]
    with open(f"{folder}/small.tsv", "w", encoding="utf-8") as f:
        f.write("\n".join(small) + "\n")
    whet(args, name, args.model, f"{folder}/small.tsv", f"{folder}/start", "--epochs", "1", "--lr", "1e-12",
         "--weight-decay", "0", "--batch", "64")
    whet(args, name, f"{folder}/start", f"{folder}/small.tsv", f"{folder}/out", "--epochs", "20", "--lr",
         "1e-4", "--batch", "64")
    ours = losses(f"{folder}/out")
    theirs = torch(args, name, f"{folder}/start", f"{folder}/small.tsv", "20", "1e-4", "64")["losses"]
    return {"steps": len(ours), "first": round(ours[0], 6), "last": round(ours[-1], 6),
            "largest_relative_difference": max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))}


def table(path):
    with open(path, encoding="utf-8") as f:
        head, *rows = f.read().splitlines()
    return head, rows


def write(path, head, rows):
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join([head, *rows]) + "\n")


def one_of_each(head, rows, label, metric):
    """A row of each class; for numbers, some that have a point."""
    at, seen = head.split("\t").index(label), {}
    for row in rows:
        value = row.split("\t")[at]
        if metric != "pearson" or "." in value:
            seen.setdefault(value, row)
    return list(seen.values())


def whole(args, name, folder):
    train, valid, _, _, label, metric = SETS[name]
    head, rows = table(os.path.join(args.data, train))
    if len(rows) > args.rows:
        rows = random.Random(0).sample(rows, args.rows)
    valid = os.path.join(args.data, valid)
    write(f"{folder}/train.tsv", head, rows)
    write(f"{folder}/each.tsv", head, one_of_each(head, rows, label, metric))
    result = {"metric": metric, "rows": len(rows), "whet": [], "torch": []}
    for seed in range(args.seeds):
        whet(args, name, args.model, f"{folder}/train.tsv", f"{folder}/full", "--epochs", "2", "--lr", "5e-5",
             "--batch", "16", "--valid", valid, "--evaluate-steps", "1000000", "--seed", str(seed), "--metric",
             metric if metric != "pearson" else "auto")
        with open(f"{folder}/full/training.json", encoding="utf-8") as f:
            result["whet"].append(round(json.load(f)["best"][metric], 5))
        whet(args, name, args.model, f"{folder}/each.tsv", f"{folder}/start", "--epochs", "1", "--lr", "1e-12",
             "--seed", str(seed), "--batch", "64", "--weight-decay", "0")
        got = torch(args, name, f"{folder}/start", f"{folder}/train.tsv", "2", "5e-5", "16", valid, str(seed))
        result["torch"].append(round(got["valid"][metric], 5))
    difference = [a - b for a, b in zip(result["whet"], result["torch"])]
    result["difference"] = round(statistics.mean(difference), 5)
    if len(difference) > 1:
        result["its_standard_error"] = round(statistics.stdev(difference) / len(difference) ** .5, 5)
    return result


def main():
    p = argparse.ArgumentParser()
    p.add_argument("whet")
    p.add_argument("model")
    p.add_argument("data")
    p.add_argument("peer")
    p.add_argument("--full", default="")
    p.add_argument("--no-first", action="store_true", help="whole runs only")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--rows", type=int, default=2000)
    args = p.parse_args()
    record = {"bench": "tune beside torch", "model": "all-MiniLM-L6-v2", "first_20_steps": {}, "trained": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in [] if args.no_first else SETS:
            record["first_20_steps"][name] = first_steps(args, name, folder)
            print(name, record["first_20_steps"][name], file=sys.stderr, flush=True)
        for name in filter(None, args.full.split(",")):
            record["trained"][name] = whole(args, name, folder)
            print(name, record["trained"][name], file=sys.stderr, flush=True)
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
