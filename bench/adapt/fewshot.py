#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of `whet adapt` with 100 labels, over several draws and data sets: the chosen candidate
beside each single one, which were all fitted on the same labels. Nothing is chosen on test rows.

    bench/adapt/fewshot.py WHET MODEL DATA [--sets a,b] [--draws 5] [--draw uniform] [--output R.json]

DATA holds one folder a set (youtube, sst2, trec, agnews, clinc150, ...). The pool is at most 4,000
rows of the training part and the test at most 1,000 rows, drawn once with a fixed seed.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time

# train, test, column of texts, column of labels
SETS = {
    "youtube": ("youtube/train.tsv", "youtube/test.tsv", "text", "label"),
    "sst2": ("sst2/sentences_train.tsv", "sst2/sentences_test.tsv", "text", "label"),
    "trec": ("trec/train.tsv", "trec/test.tsv", "text", "coarse"),
    "trec_fine": ("trec/train.tsv", "trec/test.tsv", "text", "fine"),
    "agnews": ("agnews/train10k.tsv", "agnews/test.tsv", "text", "label"),
    "clinc150": ("clinc150/train.tsv", "clinc150/test.tsv", "text", "intent"),
    "sst5": ("sst5/train.tsv", "sst5/test.tsv", "text", "label"),
}


def subset(source, target, most):
    with open(source, encoding="utf-8", newline="\n") as file:
        header, *rows = file.read().splitlines()
    if len(rows) > most:
        rows = random.Random(0).sample(rows, most)
    with open(target, "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join([header, *rows]) + "\n")


def one(args, name, seed, folder):
    train, test, text, label = SETS[name]
    subset(os.path.join(args.data, train), f"{folder}/train.tsv", 4000)
    subset(os.path.join(args.data, test), f"{folder}/test.tsv", 1000)
    begin = time.monotonic()
    subprocess.run(
        [args.whet, "adapt", "--train", f"{folder}/train.tsv", "--test", f"{folder}/test.tsv",
         "--text", text, "--label", label, "--budget", str(args.budget), "--draw", args.draw,
         "--seed", str(seed), "--model", args.model, "--output", f"{folder}/out", "--force",
         "--quiet", "--threads", str(args.threads)],
        check=True, stdout=subprocess.DEVNULL)
    with open(f"{folder}/out/metrics.json", encoding="utf-8") as file:
        metrics = json.load(file)
    result = {c["name"]: c["test"]["accuracy"] for c in metrics["candidates"] if c.get("test")}
    return result, metrics["chosen"], metrics["test"], time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("whet")
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--sets", default="youtube,sst2,trec,agnews,clinc150")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--draw", default="uniform")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output")
    args = parser.parse_args()
    record = {"budget": args.budget, "draw": args.draw, "draws": args.draws, "sets": {}}
    for name in args.sets.split(","):
        runs = []
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(args.draws):
                runs.append(one(args, name, seed, folder))
        singles = {c: round(statistics.mean(r[0][c] for r in runs if c in r[0]), 4)
                   for c in runs[0][0]}
        accuracy = [r[2]["accuracy"] for r in runs]
        best = max(v for c, v in singles.items() if c != "blend")
        entry = {
            "chosen": sorted({r[1] for r in runs}),
            "accuracy": round(statistics.mean(accuracy), 4),
            "accuracy_sd": round(statistics.pstdev(accuracy), 4),
            "log_loss": round(statistics.mean(r[2]["log_loss"] for r in runs), 4),
            "calibration_error": round(statistics.mean(r[2]["calibration_error"] for r in runs), 4),
            "best_single": best,
            "behind_best_single": round(best - statistics.mean(accuracy), 4),
            "candidates": singles,
        }
        record["sets"][name] = entry
        print(name, json.dumps(entry), flush=True)
        if args.output:
            with open(args.output, "w", encoding="utf-8") as file:
                json.dump(record, file, indent=1)
                file.write("\n")


if __name__ == "__main__":
    main()
