#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""whet tune beside torch on real data: the losses of the first 20 steps from equal weights on equal
batches, and the validation metric after training on whole sets.

    bench/tune/parity.py WHET MODEL DATA PEER_PYTHON [--full SETS] > bench/results/tune_parity.json

The batch is the whole of a small table, so that its order does not matter; the head is the one that
whet drew, read by torch from whet's own output folder.
"""
import argparse
import json
import os
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


def whole(args, name, folder):
    train, valid, metric = (os.path.join(args.data, SETS[name][i]) for i in (0, 1, 5))
    metric = SETS[name][5]
    result = {"metric": metric, "whet": [], "torch": []}
    for seed in range(args.seeds):
        whet(args, name, args.model, train, f"{folder}/full", "--epochs", "2", "--lr", "5e-5", "--batch", "16",
             "--valid", valid, "--evaluate-steps", "1000000", "--seed", str(seed), "--metric",
             metric if metric != "pearson" else "auto")
        with open(f"{folder}/full/training.json", encoding="utf-8") as f:
            result["whet"].append(json.load(f)["best"][metric])
        whet(args, name, args.model, train, f"{folder}/start", "--epochs", "1", "--lr", "1e-12", "--seed",
             str(seed), "--batch", "100000", "--weight-decay", "0")
        got = torch(args, name, f"{folder}/start", train, "2", "5e-5", "16", valid, "shuffle")
        result["torch"].append(got["valid"][metric])
    return result


def main():
    p = argparse.ArgumentParser()
    p.add_argument("whet")
    p.add_argument("model")
    p.add_argument("data")
    p.add_argument("peer")
    p.add_argument("--full", default="")
    p.add_argument("--seeds", type=int, default=1)
    args = p.parse_args()
    record = {"bench": "tune beside torch", "model": "all-MiniLM-L6-v2", "first_20_steps": {}, "trained": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            record["first_20_steps"][name] = first_steps(args, name, folder)
            print(name, record["first_20_steps"][name], file=sys.stderr, flush=True)
        for name in filter(None, args.full.split(",")):
            record["trained"][name] = whole(args, name, folder)
            print(name, record["trained"][name], file=sys.stderr, flush=True)
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
