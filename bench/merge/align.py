#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seconds of weight matching of perceptrons, unrelated or planted, beside the published algorithm on torch and scipy
(bench/peers/weight_matching_torch.py), taken in turns, with the objective that each reaches.

    bench/merge/align.py BENCH_ALIGN PYTHON [--rounds 3] [--threads 1] [--output R.json]
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

import numpy
from safetensors.numpy import save_file

SHAPES = {"784-512-512-10": (784, 512, 512, 10), "784-512-512-512-10": (784, 512, 512, 512, 10)}


def perceptron(dims, seed):
    """torch's defaults: uniform within 1 / sqrt(inputs)"""
    rng = numpy.random.default_rng(seed)
    tensors = {}
    for i, (before, after) in enumerate(zip(dims, dims[1:])):
        bound = before ** -.5
        tensors[f"layer{i}.weight"] = rng.uniform(-bound, bound, (after, before)).astype(numpy.float32)
        tensors[f"layer{i}.bias"] = rng.uniform(-bound, bound, after).astype(numpy.float32)
    return tensors


def planted(tensors, noise, seed):
    """hidden units in another order, each weight moved by noise of so many deviations of its tensor"""
    rng = numpy.random.default_rng(seed)
    layers, before, out = len(tensors) // 2, None, {}
    for i in range(layers):
        weight, bias = tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"]
        order = rng.permutation(len(bias)) if i < layers - 1 else numpy.arange(len(bias))
        weight = weight[order] if before is None else weight[order][:, before]
        for name, t in (("weight", weight), ("bias", bias[order])):
            moved = t + noise * t.std() * rng.standard_normal(t.shape)
            out[f"layer{i}.{name}"] = numpy.ascontiguousarray(moved, dtype=numpy.float32)
        before = order
    return out


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output")
    args = parser.parse_args()
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers/weight_matching_torch.py")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in ((n, k) for k in ("unrelated", "planted") for n in SHAPES):
            paths = [os.path.join(folder, f"{k}.safetensors") for k in "ab"]
            a = perceptron(SHAPES[name], 0)
            save_file(a, paths[0])
            save_file(perceptron(SHAPES[name], 1) if kind == "unrelated" else planted(a, .5, 1), paths[1])
            ours, theirs = [], []
            for _ in range(args.rounds):
                theirs.append(run(args.python, peer, *paths, 3, args.threads))
                ours.append(run(args.bench, *paths, 3, args.threads))
            row = {"network": name, "kind": kind, "whet_seconds": statistics.median(o["seconds"] for o in ours),
                   "peer_seconds": statistics.median(t["seconds"] for t in theirs),
                   "whet_processor": statistics.median(o["processor"] for o in ours),
                   "peer_processor": statistics.median(t["processor"] for t in theirs),
                   "whet_objective": ours[0]["objective"],
                   "peer_objectives": [t["objective"] for t in theirs]}
            row["ratio"] = row["peer_seconds"] / row["whet_seconds"]
            row["ratio_processor"] = row["peer_processor"] / row["whet_processor"]
            rows.append(row)
            print(f"{name:20s} {kind:9s} whet {row['whet_seconds']:.4f} s  peer {row['peer_seconds']:.4f} s  x {row['ratio']:.2f}"
                  f" (processor {row['whet_processor']:.3f}, {row['peer_processor']:.3f}, x {row['ratio_processor']:.2f})"
                  f"  objective {row['whet_objective']:.3f}, peer {max(row['peer_objectives']):.3f}", flush=True)
    if args.output:
        with open(args.output, "w", encoding="utf-8") as file:
            json.dump({"threads": args.threads, "results": rows}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
