#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""whet tune on a language model beside torch: texts, prompts with targets, and classes.

    bench/tune/language.py WHET DATA PEER_PYTHON [--seeds 3] [--rows 1000] [--threads 2]
        > bench/results/tune_language.json

The model is stories260K, made into a folder by tests/support/stories_folder.py. First steps: the batch is
the whole of a small table, so that its order does not matter, from equal weights. Whole runs: two epochs in
batches of 16 at 1e-3, each side with its own order; the loss a token (of classes, accuracy) on held-out
rows, a seed a run; and tokens a second of processor time and of the clock, whet and torch in turn.
"""
import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# train, validation, text, target, label
SETS = {
    "texts: sst2": ("sst2/sentences_train.tsv", "sst2/sentences_dev.tsv", "text", "-", "-"),
    "prompts: trec": ("trec/train.tsv", "trec/test.tsv", "text", "coarse", "-"),
    "classes: trec": ("trec/train.tsv", "trec/test.tsv", "text", "-", "coarse"),
}


def run(command):
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    p = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if p.returncode != 0:
        sys.exit(f"failed: {' '.join(command)}\n{p.stderr}")
    return p.stdout, time.perf_counter() - wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def whet(args, columns, model, train, output, *more):
    text, target, label = columns
    command = [args.whet, "tune", "--model", model, "--train", train, "--text", text, "--output", output,
               "--dropout", "0", "--quiet", "--force", "--threads", str(args.threads), "--task",
               "language" if label == "-" else "classification", *more]
    command += ["--target", target] if target != "-" else []
    command += ["--label", label] if label != "-" else []
    _, wall, cpu = run(command)
    with open(f"{output}/training.json", encoding="utf-8") as f:
        report = json.load(f)
    with open(f"{output}/metrics.jsonl", encoding="utf-8") as f:
        losses = [r["loss"] for r in map(json.loads, f) if "loss" in r]
    return losses, report, wall, cpu


def torch(args, columns, model, train, *more):
    out, _, _ = run([args.peer, f"{HERE}/../peers/language_torch.py", model, train, *columns, *more])
    return json.loads(out.splitlines()[-1])


def table(path, rows, name):
    with open(path, encoding="utf-8") as f:
        head, *lines = f.read().splitlines()
    if len(lines) > rows:
        lines = random.Random(0).sample(lines, rows)
    with open(name, "w", encoding="utf-8") as f:
        f.write("\n".join([head, *lines]) + "\n")


def start(args, columns, model, train, folder, seed):
    """Where torch begins: for classes, the head that whet drew."""
    if columns[2] == "-":
        return model
    whet(args, columns, model, train, folder, "--epochs", "1", "--lr", "1e-12", "--weight-decay", "0",
         "--batch", "64", "--seed", str(seed))
    return folder


def first_steps(args, name, model, folder):
    train, _, *columns = SETS[name]
    table(os.path.join(args.data, train), 64, f"{folder}/small.tsv")
    begin = start(args, columns, model, f"{folder}/small.tsv", f"{folder}/start", 0)
    ours, *_ = whet(args, columns, begin, f"{folder}/small.tsv", f"{folder}/out", "--epochs", "20", "--lr",
                    "1e-3", "--batch", "64")
    theirs = torch(args, columns, begin, f"{folder}/small.tsv", "20", "1e-3", "64", str(args.threads))["losses"]
    return {"steps": len(ours), "first": round(ours[0], 6), "last": round(ours[-1], 6),
            "largest_relative_difference": max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))}


def whole(args, name, model, folder):
    train, valid, *columns = SETS[name]
    metric = "loss" if columns[2] == "-" else "accuracy"
    table(os.path.join(args.data, train), args.rows, f"{folder}/train.tsv")
    table(os.path.join(args.data, valid), args.rows, f"{folder}/valid.tsv")
    result = {"metric": metric, "rows": args.rows, "whet": [], "torch": [], "seconds": [], "processor": []}
    for seed in range(args.seeds):
        more = ("--epochs", "2", "--lr", "1e-3", "--batch", "16", "--seed", str(seed))
        _, report, _, _ = whet(args, columns, model, f"{folder}/train.tsv", f"{folder}/full", *more, "--valid",
                               f"{folder}/valid.tsv", "--evaluate-steps", "1000000", "--metric", metric)
        result["whet"].append(round(report["best"][metric], 5))
        _, report, _, cpu = whet(args, columns, model, f"{folder}/train.tsv", f"{folder}/full", *more)
        begin = start(args, columns, model, f"{folder}/train.tsv", f"{folder}/start", seed)
        got = torch(args, columns, begin, f"{folder}/train.tsv", "2", "1e-3", "16", str(args.threads),
                    f"{folder}/valid.tsv", str(seed))
        result["torch"].append(round(got["valid"], 5))
        result["seconds"].append([round(report["seconds"], 3), round(got["seconds"], 3)])
        result["processor"].append([round(cpu, 3), round(got["cpu"], 3)])
        result["planned_bytes"], result["torch_peak_bytes"] = report["planned_bytes"], got["peak"]
    difference = [a - b for a, b in zip(result["whet"], result["torch"])]
    result["difference"] = round(statistics.mean(difference), 5)
    if len(difference) > 1:
        result["its_standard_error"] = round(statistics.stdev(difference) / len(difference) ** .5, 5)
    for key in ("seconds", "processor"):
        result[f"torch_over_whet_{key}"] = round(statistics.median(b / a for a, b in result[key]), 2)
    return result


def main():
    p = argparse.ArgumentParser()
    p.add_argument("whet")
    p.add_argument("data")
    p.add_argument("peer")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--rows", type=int, default=1000)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    record = {"bench": "tune, language model, beside torch", "model": "stories260K", "threads": args.threads,
              "first_20_steps": {}, "trained": {}}
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/stories"
        run([sys.executable, f"{HERE}/../../tests/support/stories_folder.py", f"{args.data}/stories260K", model])
        for name in SETS:
            record["first_20_steps"][name] = first_steps(args, name, model, folder)
            print(name, record["first_20_steps"][name], file=sys.stderr, flush=True)
        for name in SETS if args.seeds else []:
            record["trained"][name] = whole(args, name, model, folder)
            print(name, record["trained"][name], file=sys.stderr, flush=True)
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
