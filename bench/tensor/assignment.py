#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seconds of whet_assign beside scipy.optimize.linear_sum_assignment on the same matrices, f32, taken in
turns; and that both found the same sum.

    bench/tensor/assignment.py BENCH_ASSIGNMENT [--sizes 512,1024,2048] [--rounds 5] [--output R.json]

Matrices: uniform numbers; products A B^T of unrelated normal rows of 784 + n numbers, as weight matching of
two networks has them; products of rows and the same in another order with noise.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy
import scipy
from scipy.optimize import linear_sum_assignment


def matrices(n):
    rng = numpy.random.default_rng(n)
    yield "uniform, max", rng.random((n, n), dtype=numpy.float32), True
    yield "uniform, min", rng.random((n, n), dtype=numpy.float32), False
    a = rng.standard_normal((n, 784 + n), dtype=numpy.float32)
    yield "unrelated products, max", a @ rng.standard_normal((784 + n, n), dtype=numpy.float32), True
    for noise in (.5, 3):
        b = a[rng.permutation(n)] + numpy.float32(noise) * rng.standard_normal(a.shape, dtype=numpy.float32)
        yield f"planted products, noise {noise}, max", a @ b.T, True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("--sizes", default="512,1024,2048")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n in map(int, args.sizes.split(",")):
            for name, costs, maximize in matrices(n):
                path = os.path.join(folder, "c.npy")
                numpy.save(path, costs)
                ours, theirs = [], []
                for _ in range(args.rounds):
                    begin = time.perf_counter()
                    i, j = linear_sum_assignment(costs, maximize)
                    theirs.append(time.perf_counter() - begin)
                    done = subprocess.run([args.bench, path, "max" if maximize else "min", "3"],
                                          capture_output=True, text=True, check=True)
                    ours.append(json.loads(done.stdout))
                wanted = float(costs[i, j].astype(numpy.float64).sum())
                row = {"matrix": name, "n": n,
                       "whet_seconds": statistics.median(o["seconds"] for o in ours),
                       "scipy_seconds": statistics.median(theirs),
                       "relative_difference_of_sums": abs(ours[0]["sum"] - wanted) / abs(wanted)}
                row["ratio"] = row["scipy_seconds"] / row["whet_seconds"]
                rows.append(row)
                print(f"{name:36s} {n:5d}  whet {row['whet_seconds']:.4f} s  scipy {row['scipy_seconds']:.4f} s"
                      f"  x {row['ratio']:.2f}  sums differ by {row['relative_difference_of_sums']:.1e}",
                      flush=True)
    if args.output:
        with open(args.output, "w", encoding="utf-8") as file:
            json.dump({"scipy": scipy.__version__, "threads": 1, "results": rows}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
