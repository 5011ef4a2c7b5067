#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ten nearest rows by cosine of every row of a pool: whet, screened as it is in large pools and by f32 alone,
beside scikit-learn's exact search, interleaved, on the same rows and threads; and how many of the neighbours
are those of sums in 64 bits, of some rows.

    bench/label/neighbours.py BENCH_NEIGHBOURS WHET MODEL TABLE COLUMN PYTHON [--copies 5] [--pairs 3] [--threads 2]
                              [--output R.json]

The rows are embeddings of the table's texts, and the same again, turned a little at random, --copies times in all.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

import numpy

NEIGHBOURS, CHECKED = 10, 300


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def rows_of(args, folder):
    subprocess.run([args.whet, "embed", "--model", args.model, "--input", args.table, "--column", args.column,
                    "--dtype", "bf16", "--output", f"{folder}/e.npy", "--quiet"], check=True)
    e = numpy.load(f"{folder}/e.npy")
    draw = numpy.random.default_rng(0)
    x = numpy.concatenate([e + c / 50 * draw.standard_normal(e.shape, numpy.float32) for c in range(args.copies)])
    x /= numpy.linalg.norm(x, axis=1, keepdims=True)
    numpy.save(f"{folder}/x.npy", x.astype(numpy.float32))
    return x.astype(numpy.float64)


def right(x, index):
    """Share of neighbours that are no farther than the tenth by sums in 64 bits, of rows spread over the pool."""
    rows = numpy.linspace(0, len(x) - 1, CHECKED).astype(int)
    products = x[rows] @ x.T
    products[numpy.arange(CHECKED), rows] = -numpy.inf
    last = -numpy.sort(-products, 1)[:, NEIGHBOURS - 1]
    found = numpy.take_along_axis(products, index[rows], 1)
    return float((found >= last[:, None]).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("bench", "whet", "model", "table", "column", "python"):
        parser.add_argument(name)
    parser.add_argument("--copies", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output")
    args = parser.parse_args()
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers/neighbours_sklearn.py")
    times = {"screened": [], "plain": [], "peer": []}
    with tempfile.TemporaryDirectory() as folder:
        x = rows_of(args, folder)
        for _ in range(args.pairs):
            for way in ("screened", "plain"):
                made = run(args.bench, f"{folder}/x.npy", NEIGHBOURS, args.threads,
                           "any" if way == "screened" else way, f"{folder}/{way}.npy")
                times[way].append(made["seconds"])
                if way == "screened":
                    kernels = made["kernels"]
            times["peer"].append(run(args.python, peer, f"{folder}/x.npy", NEIGHBOURS, args.threads,
                                     f"{folder}/peer.npy")["seconds"])
        quality = {way: right(x, numpy.load(f"{folder}/{way}.npy")) for way in times}
    took = {way: statistics.median(v) for way, v in times.items()}
    record = {"what": f"the {NEIGHBOURS} nearest by cosine of each of {len(x)} rows of {x.shape[1]}",
              "kernels": kernels, "threads": args.threads, "pairs": args.pairs,
              "load_average": round(os.getloadavg()[0], 1),
              "seconds": {way: round(v, 2) for way, v in took.items()},
              "gflops": {way: round(2e-9 * len(x) ** 2 * x.shape[1] / v) for way, v in took.items()},
              "neighbours_of_64_bits": quality,
              "ratio_to_peer": round(took["peer"] / took["screened"], 1),
              "ratio_to_plain": round(took["plain"] / took["screened"], 1)}
    print(json.dumps(record, indent=1))
    if args.output:
        with open(args.output, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
