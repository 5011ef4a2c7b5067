#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Frechet means beside torch: over a matrix (probs @ D2, argmin; D2 given), an embedding (nearest to probs
@ E) and a tree (probs @ D2 again), in f32 there, finished in f64 by whet. Rounds in turn, medians, and the range of the
rounds' ratios.

    bench/space/dense.py BUILD [--threads 2] [--rounds 5] > bench/results/space_dense.json

Quality: rows on which both name the same point, or points whose exact costs tie; that whet's exact cost is
never higher is asserted.
Run it by a python that has torch and NumPy.
"""
import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
from frechet_numpy import tree_distances  # noqa: E402

ROWS = 256


def timed(call):
    begin = time.perf_counter()
    result = call()
    return 1e3 * (time.perf_counter() - begin), result


def compare(name, args, command, prepare, exact_costs, rounds=None):
    """whet, then torch on what whet left, again and again; the ratio is taken round by round."""
    ours, product, theirs, ratios, call = [], [], [], [], None
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds or args.rounds):
            report = json.loads(subprocess.check_output([*command, str(args.threads), folder]))
            ours.append(report.get("whet_ms", report.get("ms")))
            if "product_ms" in report:
                product.append(report["product_ms"])
            load = lambda file, kind: np.fromfile(f"{folder}/{file}", kind)
            if not call:  # inputs are the same in every round
                call, state = prepare(load)
                call()
            took = [timed(call) for _ in range(5)]
            theirs.append(statistics.median(ms for ms, _ in took))
            ratios.append(theirs[-1] / ours[-1])
        best, peer_best = load("best.i64", np.int64), took[-1][1].numpy()
    mine, yours = exact_costs(state, best), exact_costs(state, peer_best)
    assert (mine <= yours * (1 + 1e-9)).all(), name
    result = {"what": name, "rows": ROWS, "threads": args.threads, "rounds": len(ours),
              "whet_ms": round(statistics.median(ours), 3), "torch_ms": round(statistics.median(theirs), 3),
              "ratio": round(statistics.median(ratios), 2),
              "ratios": [round(min(ratios), 2), round(max(ratios), 2)],
              "same_point": round(float((best == peer_best).mean()), 4),
              "same_or_tied": round(float((yours <= mine * (1 + 1e-9)).mean()), 4),
              "whet_costs_no_more": True}
    if product:
        over = [a / b for a, b in zip(ours, product)]
        result["bare_product_ms"] = round(statistics.median(product), 3)
        result["over_bare_product"] = round(statistics.median(over), 3)
        result["over_bare_products"] = [round(min(over), 3), round(max(over), 3)]
    result.update({k: report[k] for k in ("method", "plan_mb", "thread_mb", "plan_seconds", "space_and_plan_mb")
                   if k in report})
    return result


def dense_costs(state, best):
    probs, square = state
    return np.einsum("rk,kr->r", probs / probs.sum(1, keepdims=True), square[:, best].astype(float))


def matrix(n, k):
    def prepare(load):
        d = load("data.f32", np.float32).reshape(n, n)[load("observed.i64", np.int64)]
        probs = load("probs.f64", np.float64).reshape(ROWS, k)
        square, p = torch.from_numpy(d) ** 2, torch.from_numpy(probs.astype(np.float32))
        return (lambda: (p @ square).argmin(1)), (probs, d.astype(float) ** 2)
    return prepare


def embedding(n, k, dim):
    def prepare(load):
        e = torch.from_numpy(load("data.f32", np.float32).reshape(n, dim))
        observed = torch.from_numpy(load("observed.i64", np.int64))
        probs = load("probs.f64", np.float64).reshape(ROWS, k)
        p = torch.from_numpy(probs.astype(np.float32))
        p = p / p.sum(1, keepdim=True)
        norm, classes = (e * e).sum(1), e[observed]
        return (lambda: (norm - 2 * (p @ classes) @ e.T).argmin(1)), (probs, e.numpy(), observed.numpy())
    return prepare


def embedding_costs(state, best):
    probs, e, observed = state
    d = ((e[best].astype(float)[:, None] - e[observed].astype(float)[None]) ** 2).sum(2)
    return (probs / probs.sum(1, keepdims=True) * d).sum(1)


def search(sources):
    from scipy.sparse.csgraph import shortest_path
    return np.array([shortest_path(GRAPH[0], directed=False, unweighted=True, indices=source)
                     for source in sources], np.float32)


def graph(n, k, threads):
    """scipy's searches, in `threads` processes, not timed with the rows; D2 in f32 as torch needs it."""
    from scipy.sparse import coo_matrix

    def prepare(load):
        ends = load("ends.i32", np.int32).reshape(-1, 2)
        probs = load("probs.f64", np.float64).reshape(ROWS, k)
        GRAPH.append(coo_matrix((np.ones(len(ends)), ends.T), shape=(n, n)).tocsr())
        begin = time.perf_counter()
        with multiprocessing.Pool(threads) as pool:
            d = np.concatenate(pool.map(search, np.array_split(load("observed.i64", np.int64)[:k], 4 * threads)))
        SEARCHES.append(time.perf_counter() - begin)
        square, p = torch.from_numpy(d) ** 2, torch.from_numpy(probs.astype(np.float32))
        return (lambda: (p @ square).argmin(1)), (probs, square.numpy())
    return prepare


GRAPH, SEARCHES = [], []


def tree(n, k):
    def prepare(load):
        d = tree_distances(load("parent.i64", np.int64), load("observed.i64", np.int64)[:k])
        probs = load("probs.f64", np.float64).reshape(ROWS, k)
        square, p = torch.from_numpy(d) ** 2, torch.from_numpy(probs.astype(np.float32))
        return (lambda: (p @ square).argmin(1)), (probs, d.astype(float) ** 2)
    return prepare


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--graph", action="store_true", help="also a graph of 325,000 nodes (minutes)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dense, trees = (f"{args.build}/bench/space/{name}" for name in ("bench_frechet_dense", "bench_frechet"))
    rows = str(ROWS)
    results = [
        compare("matrix, N 10,000, K 1,000", args, [dense, "matrix", "10000", "1000", "0", rows],
                matrix(10000, 1000), dense_costs),
        compare("embedding, N 325,000, K 100, D 384", args,
                [dense, "embedding", "325000", "100", "384", rows], embedding(325000, 100, 384),
                embedding_costs),
        compare("tree, N 1,785, K 1,785", args, [trees, "1785", "1785", rows], tree(1785, 1785), dense_costs),
        compare("tree, N 10,000, K 10,000", args, [trees, "10000", "10000", rows], tree(10000, 10000),
                dense_costs)]
    if args.graph:
        found = compare("graph, N 325,000, mean degree 5, K 1,000", args,
                        [dense, "graph", "325000", "1000", "0", rows], graph(325000, 1000, args.threads),
                        dense_costs, rounds=3)
        results.append({**found, "scipy_searches_seconds": round(SEARCHES[0], 1)})
    json.dump({"bench": "Frechet means beside torch", "torch": torch.__version__, "results": results}, sys.stdout,
              indent=1)
    print()


if __name__ == "__main__":
    main()
