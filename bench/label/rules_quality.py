#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Labels for a pool from rules made of 100 labels, beside few-shot logistic regression on the same
labels: Snuba as published and corrected, interactive weak supervision; accuracy on test rows, where a
row without a vote counts as wrong, mean over draws. Nothing is chosen on test rows.

    bench/label/rules_quality.py WHET MODEL DATA [--sets a,b] [--draws 5] [--output R.json]

DATA holds one folder a set. The pool is at most 4,000 rows of the training part and the test at most
1,000, drawn once with a fixed seed; labels are drawn uniformly from the pool. Rules are made on pool
and labels, and vote on test rows when they are made. `digits` is 8 x 8 pixels (--digits F.npz).
"""
import argparse
import json
import math
import os
import random
import statistics
import subprocess
import tempfile

import numpy

# train, test, column of labels
SETS = {
    "youtube": ("youtube/train.tsv", "youtube/test.tsv", "label"),
    "sst2": ("sst2/sentences_train.tsv", "sst2/sentences_test.tsv", "label"),
    "trec": ("trec/train.tsv", "trec/test.tsv", "coarse"),
    "agnews": ("agnews/train10k.tsv", "agnews/test.tsv", "label"),
    "sms_spam": ("sms_spam/all.tsv", None, "label"),
    "imdb2000": ("imdb2000/all.tsv", None, "label"),
}
# name: method and its options
WAYS = {
    "snuba published": ["snuba", "--reference"],
    "snuba published, one-vs-rest": ["snuba", "--reference", "--form", "one-vs-rest"],
    "snuba, single features": ["snuba", "--cardinality", "1"],
    "snuba": ["snuba"],
    "snuba, one-vs-rest": ["snuba", "--form", "one-vs-rest"],
    "iws": ["iws"],
    "iws, one-vs-rest": ["iws", "--form", "one-vs-rest"],
}


def read(path, label):
    with open(path, encoding="utf-8", newline="\n") as file:
        header, *rows = file.read().rstrip("\n").split("\n")
    columns = header.split("\t")
    cells = [row.split("\t") for row in rows]
    return ([c[columns.index("text")] for c in cells], [c[columns.index(label)] for c in cells])


def embed(args, texts, folder):
    with open(f"{folder}/t.tsv", "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(["text", *texts]) + "\n")
    subprocess.run([args.whet, "embed", "--model", args.model, "--input", f"{folder}/t.tsv", "--column",
                    "text", "--output", f"{folder}/t.npy", "--force", "--quiet", "--threads",
                    str(args.threads)], check=True, stdout=subprocess.DEVNULL)
    return numpy.load(f"{folder}/t.npy")


def load(args, name, folder):
    """features of the pool and of the test, labels of both"""
    if name == "digits":
        data = numpy.load(args.digits)
        order = numpy.random.default_rng(0).permutation(len(data["y"]))
        x, y = data["X"].astype(numpy.float32)[order], [str(c) for c in data["y"][order]]
        return x[:950], x[950:], y[:950], y[950:]
    train, test, label = SETS[name]
    texts, labels = read(os.path.join(args.data, train), label)
    pool = random.Random(0).sample(range(len(texts)), len(texts))
    held = [] if test else pool[: min(1000, len(pool) // 4)]
    pool = pool[len(held):][:4000]
    if test:
        test_texts, test_labels = read(os.path.join(args.data, test), label)
        held = random.Random(0).sample(range(len(test_texts)), min(1000, len(test_texts)))
    else:
        test_texts, test_labels = texts, labels
    x = embed(args, [texts[i] for i in pool] + [test_texts[i] for i in held], folder)
    return (x[: len(pool)], x[len(pool):], [labels[i] for i in pool], [test_labels[i] for i in held])


def whet(args, *words):
    done = subprocess.run([args.whet, "label", *words, "--force", "--quiet", "--json", "--threads",
                           str(args.threads)], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    return json.loads(done.stdout)


def majority(votes, k):
    counts = numpy.stack([(votes == c).sum(1) for c in range(k)], 1)
    return numpy.where(counts.max(1) > 0, counts.argmax(1), -1)


def one(args, name, data, seed, folder):
    x_pool, x_test, y_pool, y_test = data
    classes = sorted(set(y_pool))
    n, truth = len(y_pool), numpy.array([classes.index(c) for c in y_test])
    drawn = random.Random(seed).sample(range(n), args.budget)
    numpy.save(f"{folder}/x.npy", numpy.vstack([x_pool, x_test]))
    with open(f"{folder}/l.tsv", "w", encoding="utf-8") as file:
        file.write("row\tlabel\n" + "".join(f"{i}\t{y_pool[i]}\n" for i in drawn))
    with open(f"{folder}/c.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(classes) + "\n")
    base = ["--features", f"{folder}/x.npy", "--labels", f"{folder}/l.tsv", "--classes",
            f"{folder}/c.txt"]
    found = {}

    def judged(probs):
        return float((numpy.load(probs)[n:].argmax(1) == truth).mean())

    whet(args, "baseline", *base, "--method", "few-shot", "--probs", f"{folder}/p.npy")
    found["few-shot"] = {"accuracy": judged(f"{folder}/p.npy")}
    for way, (method, *options) in WAYS.items():
        joint = method == "snuba" and "--reference" not in options
        made = whet(args, "generate", *base, "--method", method, *options, "--votes",
                    f"{folder}/v.npy", *(["--probs", f"{folder}/p.npy"] if joint else []))
        votes = numpy.load(f"{folder}/v.npy")[n:]
        entry = {"majority": float((majority(votes, len(classes)) == truth).mean()),
                 "coverage": float((votes >= 0).any(1).mean()), "rules": len(made["rules"])}
        if joint:
            entry["joint"] = judged(f"{folder}/p.npy")
            entry["cross_fitted"] = made["accuracy"]
        fitted = whet(args, "fit", "--votes", f"{folder}/v.npy", "--model", "dawid-skene", "--classes",
                      f"{folder}/c.txt", "--labels", f"{folder}/l.tsv", "--probs", f"{folder}/q.npy")
        if fitted:
            entry["dawid_skene"] = judged(f"{folder}/q.npy")
        found[way] = entry
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("whet")
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--sets", default="digits,youtube,sms_spam,imdb2000,sst2,agnews,trec")
    parser.add_argument("--digits", help="an .npz with X and y of digits")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output")
    args = parser.parse_args()
    record = {"what": "labels for test rows from rules made of labels, beside few-shot; accuracy over "
                      "all test rows, no vote is wrong; mean and standard deviation over draws",
              "budget": args.budget, "draws": args.draws, "sets": {}}
    for name in args.sets.split(","):
        with tempfile.TemporaryDirectory() as folder:
            data = load(args, name, folder)
            runs = [one(args, name, data, seed, folder) for seed in range(args.draws)]
        entry = {}
        for way in runs[0]:
            keys = {key for run in runs for key in run[way]}
            entry[way] = {}
            for key in sorted(keys):
                values = [run[way][key] for run in runs if key in run[way]]
                entry[way][key] = round(statistics.mean(values), 4)
                if key in ("accuracy", "joint", "majority") and len(values) > 1:
                    entry[way][key + "_sd"] = round(statistics.stdev(values), 4)
        record["sets"][name] = {"classes": len(set(data[2])), "pool": len(data[2]),
                                "test": len(data[3]), "ways": entry}
        print(name, json.dumps(entry), flush=True)
        if args.output:
            with open(args.output, "w", encoding="utf-8") as file:
                json.dump(record, file, indent=1)
                file.write("\n")
    assert all(math.isfinite(e["ways"]["few-shot"]["accuracy"]) for e in record["sets"].values())


if __name__ == "__main__":
    main()
