# SPDX-License-Identifier: Apache-2.0
"""Small networks trained from scratch on real images, whet beside torch, as JSON.

    python3 bench/nn/quality_conv.py --data ../shared/data --build build
        [--peer bench/peers/.venv/bin/python] > bench/results/convnets_quality.json

A seed a run: torch draws the first parameters, both sides start from them and see the same batches in the
same order (drawn afresh each epoch), plain SGD at 0.05, one thread each. The losses of the first 20 steps, step by step, then the
right answers on images that neither was trained on. Weights drift apart by rounding, so the accuracies
agree to seed noise, not to the digit.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from run_conv import HERE, cifar, write
from run_embed import Worker, processor


def digits(args, part, rows):
    x = np.load(f"{args.data}/mnist/{part}_x.npy")[:rows].astype(np.float32) / 255
    return x, np.load(f"{args.data}/mnist/{part}_y.npy")[:rows]


CASES = {
    "mlp 784-64-10 on mnist": ("mlp", digits, [32, 10, 1, 1, 784], [64], 6400, 1984, 2, (0, 1, 2)),
    "lenet on mnist": ("lenet", digits, [32, 10, 28, 28, 1], [], 6400, 1984, 1, (0, 1)),
    "resnet20 on cifar10": ("resnet20", cifar, [64, 10, 32, 32, 3], [], 1600, 320, 1, (0,)),
}


def trained(args, folder, case, seed):
    model, read, shape, hidden, rows, held, epochs, _ = case
    shape, hidden = [str(a) for a in shape], [str(a) for a in hidden]
    os.environ["SEED"] = str(seed)
    sides = {"whet": Worker([f"{args.build}/bench/nn/bench_conv", "1", model, *shape, *hidden]),
             "torch": Worker([args.peer, f"{HERE}/../peers/convnet_torch.py", "1", model, *shape, "nchw", *hidden])}
    first, rng = os.path.join(folder, "first.safetensors"), np.random.default_rng(seed)
    x, y = read(args, "train", rows)
    test = write(folder, "test", *read(args, "test", held // int(shape[0]) * int(shape[0])))
    sides["torch"].ask("save " + first)
    result = {"seed": seed, "accuracy": {}, "cpu_seconds": dict.fromkeys(sides, 0)}
    losses = {name: [] for name in sides}
    for epoch in range(epochs):
        order = rng.permutation(rows)
        data = write(folder, "train", x[order], y[order])
        steps = rows // int(shape[0])
        for name, side in sides.items():
            side.ask(data)
            if epoch == 0:
                side.ask("init " + first)
                losses[name] = [side.ask("train 1")[2] for _ in range(20)]
            result["cpu_seconds"][name] += side.ask(f"train {steps - 20 * (epoch == 0)}")[1]
    for name, side in sides.items():
        side.ask(test)
        result["accuracy"][name] = round(side.ask("score")[2] / (held // int(shape[0]) * int(shape[0])), 4)
        side.close()
        result["cpu_seconds"][name] = round(result["cpu_seconds"][name], 2)
    result["first_20_losses"] = {name: [round(v, 6) for v in (x[0], x[-1])] for name, x in losses.items()}
    result["largest_relative_difference"] = max(abs(a - b) / abs(b) for a, b in zip(*losses.values()))
    return result


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--build", default="build")
    p.add_argument("--peer", default=f"{HERE}/../peers/.venv/bin/python")
    p.add_argument("--only", default="")
    args = p.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE,
                            check=False).stdout.strip()
    record = {"bench": "convnets from scratch", "date": time.strftime("%Y-%m-%d"), "commit": commit,
              "cpu": processor(), "cases": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            if args.only not in name:
                continue
            runs = [trained(args, folder, case, seed) for seed in case[-1]]
            record["cases"][name] = {
                "training_images": case[4], "held_out": case[5], "epochs": case[6], "runs": runs,
                "mean_accuracy": {s: round(statistics.mean(r["accuracy"][s] for r in runs), 4)
                                  for s in ("whet", "torch")}}
            print(name, json.dumps(record["cases"][name]), file=sys.stderr, flush=True)
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
