#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tuning the encoder is worth to `whet adapt` with 100 labels: the chosen classifier of --adapter beside the
candidate that frozen embeddings give on the same labels. Nothing is chosen on test rows.

    bench/adapt/adapters.py WHET MODEL DATA RUNS.jsonl [--sets a,b] [--draws 0,1,2,3,4] [--adapter auto] [--output R.json]

DATA holds one folder a set. The pool is at most 4,000 rows of the training part, the test at most 1,000 rows, drawn
once with a fixed seed; sets without a test part (sms_spam, imdb2000) lose a quarter of their rows to it. A run is a
line of RUNS.jsonl; those that are there are not run again, so that several processes may share the work.
Seconds are of processor time, user and system, of all threads: those of a clock say nothing on a busy machine.
"""
import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import tempfile
import time

# train, test or None, column of texts, column of labels, tokens of a text (0 = the model's limit)
SETS = {
    "youtube": ("youtube/train.tsv", "youtube/test.tsv", "text", "label", 0),
    "sst2": ("sst2/sentences_train.tsv", "sst2/sentences_test.tsv", "text", "label", 0),
    "trec": ("trec/train.tsv", "trec/test.tsv", "text", "coarse", 0),
    "agnews": ("agnews/train10k.tsv", "agnews/test.tsv", "text", "label", 0),
    "sms_spam": ("sms_spam/all.tsv", None, "text", "label", 0),
    "imdb2000": ("imdb2000/all.tsv", None, "text", "label", 128),
}
POOL, TEST = 4000, 1000


def read(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        header, *rows = file.read().splitlines()
    return header, rows


def parts(data, name):
    train, test, *_ = SETS[name]
    header, rows = read(os.path.join(data, train))
    if test is None:
        random.Random(0).shuffle(rows)
        size = min(TEST, len(rows) // 4)
        held, rows, test_header = rows[:size], rows[size:], header
    else:
        test_header, held = read(os.path.join(data, test))
        held = random.Random(0).sample(held, TEST) if len(held) > TEST else held
    rows = random.Random(0).sample(rows, POOL) if len(rows) > POOL else rows
    return (header, rows), (test_header, held)


def write(path, part):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join([part[0], *part[1]]) + "\n")


def one(args, name, draw):
    _, _, text, label, length = SETS[name]
    with tempfile.TemporaryDirectory() as folder:
        pool, test = parts(args.data, name)
        write(f"{folder}/train.tsv", pool)
        write(f"{folder}/test.tsv", test)
        command = [args.whet, "adapt", "--train", f"{folder}/train.tsv", "--test", f"{folder}/test.tsv",
                   "--text", text, "--label", label, "--budget", "100", "--seed", str(draw), "--model", args.model,
                   "--adapter", args.adapter, "--dtype", args.dtype, "--threads", str(args.threads), "--quiet",
                   "--output", f"{folder}/out"]
        if length:
            command += ["--max-length", str(length)]
        begin = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise SystemExit(f"{name} {draw}: status {status}")
        with open(f"{folder}/out/metrics.json", encoding="utf-8") as file:
            metrics = json.load(file)
    tuning = metrics["end_model"]
    test_of = {c["name"]: c["test"]["accuracy"] for c in metrics["candidates"] if c.get("test")}
    return {
        "set": name, "draw": draw, "adapter": args.adapter, "dtype": args.dtype, "threads": args.threads,
        "chosen": metrics["chosen"], "kept": tuning["kept"], "lesson": tuning["lesson"],
        "accuracy": metrics["test"]["accuracy"], "frozen": test_of[tuning["teacher"]],
        "log_loss": metrics["test"]["log_loss"], "calibration_error": metrics["test"]["calibration_error"],
        "held_out_gain": tuning["gain"], "standard_error": tuning["standard_error"],
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "wall_seconds": round(time.monotonic() - begin, 1), "peak_mb": round(usage.ru_maxrss / 1024),
        "contenders": [{k: c[k] for k in ("name", "folds", "log_loss", "verdict")} for c in tuning["contenders"]],
    }


def known(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def summary(runs):
    sets = {}
    for name in SETS:
        own = [r for r in runs if r["set"] == name]
        if not own:
            continue
        mean = lambda key: round(statistics.mean(r[key] for r in own), 4)
        sets[name] = {
            "draws": sorted(r["draw"] for r in own), "accuracy": mean("accuracy"), "frozen": mean("frozen"),
            "accuracy_sd": round(statistics.pstdev(r["accuracy"] for r in own), 4),
            "log_loss": mean("log_loss"), "calibration_error": mean("calibration_error"),
            "kept": sum(r["kept"] for r in own), "lessons": sorted({r["lesson"] or "" for r in own}),
            "processor_seconds": round(mean("processor_seconds"), 1), "peak_mb": round(mean("peak_mb")),
        }
    return sets


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("whet", "model", "data", "runs"):
        parser.add_argument(name)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--draws", default="0,1,2,3,4")
    parser.add_argument("--adapter", default="auto")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", help="a summary of all runs")
    args = parser.parse_args()
    for draw in map(int, filter(None, args.draws.split(","))):
        for name in args.sets.split(","):
            if any(r["set"] == name and r["draw"] == draw for r in known(args.runs)):
                continue
            run = one(args, name, draw)
            with open(args.runs, "a", encoding="utf-8") as file:
                file.write(json.dumps(run) + "\n")
            print(name, draw, run["accuracy"], run["frozen"], run["lesson"], run["kept"], flush=True)
    if args.output:
        runs = known(args.runs)
        with open(args.output, "w", encoding="utf-8") as file:
            json.dump({"budget": 100, "pool_rows_at_most": POOL, "test_rows_at_most": TEST, "sets": summary(runs),
                       "runs": runs}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
