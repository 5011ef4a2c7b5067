#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seconds of a ten-share trial of perceptrons over 10,000 test images beside the published loop on torch
(bench/peers/trial_torch.py), taken in turns, with the losses of both.

    bench/market/run_trial.py BENCH_TRIAL PYTHON DATA [--rounds 5] [--threads 1] [--output R.json]
DATA holds mnist/ and cifar10/ (train_x.npy, train_y.npy, test_x.npy, test_y.npy). Needs numpy.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

import numpy

CASES = {
    "mnist 784-32-32-32-16-10": ("mnist", "784-32-32-32-16-10", (0.1307,), (0.3081,)),
    "cifar10 3072-256-256-256-128-10": ("cifar10", "3072-256-256-256-128-10", (0.4914, 0.4822, 0.4465),
                                        (0.2023, 0.1994, 0.2010)),
}


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words[0]}: {done.stderr}")
    return json.loads(done.stdout) if done.stdout else None


def prepare(data, name, mean, deviation, part, folder):
    """Examples as networks take them, f32 [n, d]."""
    x = numpy.load(os.path.join(data, name, f"{part}_x.npy")).astype(numpy.float32) / 255
    x = x.reshape(len(x), -1, len(mean)) if len(mean) > 1 else x.reshape(len(x), -1, 1)
    x = ((x - numpy.float32(mean)) / numpy.float32(deviation)).reshape(len(x), -1)
    paths = [os.path.join(folder, f"{name}_{part}_{k}.npy") for k in "xy"]
    numpy.save(paths[0], numpy.ascontiguousarray(x, dtype=numpy.float32))
    numpy.save(paths[1], numpy.load(os.path.join(data, name, f"{part}_y.npy")).astype(numpy.int32))
    return paths


def measure(args, peer, dims, networks, test):
    ours, theirs, loaded = [], [], []
    for _ in range(args.rounds):
        theirs.append(run(args.python, peer, "measure", *networks, *test, 5, args.threads))
        ours.append(run(args.bench, *networks, *test, 5, args.threads))
    loaded.append(run(args.python, peer, "measure", *networks, *test, 1, args.threads, "loader"))
    row = {"network": dims}
    for key, name in (("seconds", "seconds"), ("processor", "processor")):
        row[f"whet_{name}"] = statistics.median(o[key] for o in ours)
        row[f"peer_{name}"] = statistics.median(t[key] for t in theirs)
        row[f"loader_{name}"] = loaded[0][key]
    row["ratio"] = row["peer_seconds"] / row["whet_seconds"]
    row["ratio_processor"] = row["peer_processor"] / row["whet_processor"]
    row["ratio_loader"] = row["loader_seconds"] / row["whet_seconds"]
    row["whet_losses"], row["peer_losses"] = ours[0]["losses"], theirs[0]["losses"]
    row["largest_difference"] = max(abs(a - b) for a, b in zip(row["whet_losses"], row["peer_losses"]))
    row["accuracies_differ_at_most"] = max(abs(a - b) for a, b in zip(ours[0]["accuracies"], theirs[0]["accuracies"]))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("python")
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output")
    args = parser.parse_args()
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers/trial_torch.py")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case, (name, dims, mean, deviation) in CASES.items():
            test = prepare(args.data, name, mean, deviation, "test", folder)
            train = prepare(args.data, name, mean, deviation, "train", folder)
            networks = [os.path.join(folder, f"{name}_{k}.safetensors") for k in "ab"]
            for seed, path in enumerate(networks):
                run(args.python, peer, "train", *train, dims, seed, path)
            row = {"case": case, **measure(args, peer, dims, networks, test)}
            rows.append(row)
            print(f"{case:32s} whet {row['whet_seconds']:.4f} s  torch {row['peer_seconds']:.4f} s  x {row['ratio']:.1f}"
                  f" (processor x {row['ratio_processor']:.1f}; with a loader x {row['ratio_loader']:.0f})"
                  f"  losses within {row['largest_difference']:.1e}", flush=True)
    if args.output:
        with open(args.output, "w", encoding="utf-8") as file:
            json.dump({"threads": args.threads, "results": rows}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
