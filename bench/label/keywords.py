#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""100 keyword rules of five words over a million short texts: whet label apply beside Python's re (one
compiled alternation a rule, as labelling functions in Python are written), on the same file; the peer
on its first rows, scaled. Votes must be equal.

    bench/label/keywords.py WHET [--texts 1000000] [--peer-texts 20000] [--pairs 3] [--output R.json]
"""
import argparse
import json
import os
import random
import re
import resource
import statistics
import subprocess
import tempfile
import time

import numpy


def make(folder, texts):
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choice(letters) for _ in range(rng.randint(3, 9))) for _ in range(20000)]
    rules = [rng.sample(words, 5) for _ in range(100)]
    with open(f"{folder}/t.tsv", "w", encoding="utf-8") as file:
        file.write("text\n")
        for _ in range(texts):
            file.write(" ".join(rng.choice(words) for _ in range(rng.randint(6, 14))) + "\n")
    with open(f"{folder}/r.json", "w", encoding="utf-8") as file:
        json.dump({"format": "whet-rules", "version": 1, "classes": ["a", "b"],
                   "rules": [{"type": "keywords", "column": "text", "words": w, "votes": "ab"[i % 2]}
                             for i, w in enumerate(rules)]}, file)
    return rules


def ours(args, folder):
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([args.whet, "label", "apply", "--rules", f"{folder}/r.json", "--input",
                    f"{folder}/t.tsv", "--votes", f"{folder}/v.npy", "--force", "--quiet", "--threads",
                    str(args.threads)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (time.perf_counter() - begin,
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def theirs(args, folder, rules):
    patterns = [re.compile(r"\b(?:%s)\b" % "|".join(map(re.escape, w)), re.I) for w in rules]
    with open(f"{folder}/t.tsv", encoding="utf-8") as file:
        texts = file.read().split("\n")[1:args.peer_texts + 1]
    begin = time.process_time()
    votes = numpy.array([[i % 2 if p.search(t) else -1 for i, p in enumerate(patterns)] for t in texts],
                        numpy.int8)
    took = time.process_time() - begin
    equal = bool((numpy.load(f"{folder}/v.npy", mmap_mode="r")[:len(texts)] == votes).all())
    return took * args.texts / len(texts), equal


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("whet")
    parser.add_argument("--texts", type=int, default=1000000)
    parser.add_argument("--peer-texts", type=int, default=20000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output")
    args = parser.parse_args()
    runs, peers, equal = [], [], True
    with tempfile.TemporaryDirectory() as folder:
        rules = make(folder, args.texts)
        size = os.path.getsize(f"{folder}/t.tsv")
        for _ in range(args.pairs):
            runs.append(ours(args, folder))
            took, same = theirs(args, folder, rules)
            peers.append(took)
            equal = equal and same
    wall, cpu = (statistics.median(r[i] for r in runs) for i in (0, 1))
    record = {"what": "100 keyword rules of 5 words over short texts, votes written; peer: Python's re, "
                      "one alternation a rule, CPU seconds of its first rows scaled",
              "texts": args.texts, "bytes": size, "threads": args.threads, "pairs": args.pairs,
              "load_average": round(os.getloadavg()[0], 1), "whet_seconds": round(wall, 3),
              "whet_cpu_seconds": round(cpu, 3),
              "peer_cpu_seconds": round(statistics.median(peers), 1),
              "ratio_cpu": round(statistics.median(peers) / cpu, 1), "equal": equal}
    print(json.dumps(record, indent=1))
    if args.output:
        with open(args.output, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
