# SPDX-License-Identifier: Apache-2.0
"""Small networks trained from scratch on real images, whet beside torch, as JSON.

    python3 bench/nn/quality_conv.py --data ../shared/data --build build
        [--peer bench/peers/.venv/bin/python] > bench/results/convnets_quality.json

A seed a run: torch draws the first parameters, both sides start from them and see the same batches in the
same order (drawn afresh each epoch), plain SGD at 0.05, one thread each. The losses of the first 20 steps, step
by step, then the right answers on images that neither was trained on (a vae: the loss there; its noise is the
same on both sides). Weights drift apart by rounding, so the accuracies agree to seed noise, not to the digit.

Whether it is rounding: the same 20 steps by torch and by whet in f64, and how far each side in f32 comes from
torch in f64 (whet; torch as above, on two threads, and channels last); and after one step, the largest error of
any tensor, relative to the tensor's largest number. A mistake would stand in f64 too; rounding does not. And by
torch in f64 from parameters that are moved by as much as f32 rounds (2^-24), and less: how far that alone leads.
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
from safetensors.numpy import load_file

from run_conv import HERE, cifar, write
from run_embed import Worker, processor


def digits(args, part, rows):
    x = np.load(f"{args.data}/mnist/{part}_x.npy")[:rows].astype(np.float32) / 255
    return x, np.load(f"{args.data}/mnist/{part}_y.npy")[:rows]


CASES = {
    "mlp 784-64-10 on mnist": ("mlp", digits, [32, 10, 1, 1, 784], [64], 6400, 1984, 2, (0, 1, 2)),
    "vae on mnist": ("vae", digits, [64, 1, 1, 1, 784], [], 6400, 1984, 10, (0, 1, 2)),
    "lenet on mnist": ("lenet", digits, [32, 10, 28, 28, 1], [], 6400, 1984, 1, (0, 1)),
    "resnet20 on cifar10": ("resnet20", cifar, [64, 10, 32, 32, 3], [], 1600, 320, 1, (0, 1, 2)),
}
STEPS = 20


def start(args, case, which, threads="1"):
    """`whet`, `whet f64`, or torch's order of memory."""
    model, shape, hidden = case[0], [str(a) for a in case[2]], [str(a) for a in case[3]]
    if which.startswith("whet"):
        program = "bench_conv_f64" if which.endswith("f64") else "bench_conv"
        return Worker([f"{args.build}/bench/nn/{program}", threads, model, *shape, *hidden])
    return Worker([args.peer, f"{HERE}/../peers/convnet_torch.py", threads, model, *shape, which, *hidden])


def trained(args, folder, case, seed):
    model, read, shape, _, rows, held, epochs, _ = case
    os.environ["SEED"] = str(seed)
    sides = {"whet": start(args, case, "whet"), "torch": start(args, case, "nchw")}
    first, rng = os.path.join(folder, "first.safetensors"), np.random.default_rng(seed)
    x, y = read(args, "train", rows)
    held = held // shape[0] * shape[0]
    test = write(folder, "test", *read(args, "test", held))
    sides["torch"].ask("save " + first)
    if model == "vae":
        sides["torch"].ask("noise " + sides["whet"].hello.split()[2])
    measure, per = ("loss", held // shape[0]) if model == "vae" else ("accuracy", held)
    result = {"seed": seed, measure: {}, "cpu_seconds": dict.fromkeys(sides, 0)}
    losses = {name: [] for name in sides}
    for epoch in range(epochs):
        order = rng.permutation(rows)
        data = write(folder, "train", x[order], y[order])
        for name, side in sides.items():
            side.ask(data)
            if epoch == 0:
                side.ask("init " + first)
                losses[name] = [side.ask("train 1")[2] for _ in range(STEPS)]
            result["cpu_seconds"][name] += side.ask(f"train {rows // shape[0] - STEPS * (epoch == 0)}")[1]
    for name, side in sides.items():
        side.ask(test)
        result[measure][name] = round(side.ask("score")[2] / per, 4)
        side.close()
        result["cpu_seconds"][name] = round(result["cpu_seconds"][name], 2)
    result["first_20_losses"] = {name: [round(v, 6) for v in (x[0], x[-1])] for name, x in losses.items()}
    result["largest_relative_difference"] = max(abs(a - b) / abs(b) for a, b in zip(*losses.values()))
    return result


def tensor_errors(files):
    """After a step: the largest error of values and of gradients, and which tensor has it."""
    exact, result = load_file(files["torch f64"]), {}
    for name in files:
        if name == "torch f64":
            continue
        found, worst = load_file(files[name]), {}
        for k, b in exact.items():
            kind = "gradients" if k.endswith(".gradient") else "values"
            error = float(abs(found[k] - b).max() / abs(b).max())
            worst[kind] = max(worst.get(kind, (0, "")), (error, k.removesuffix(".gradient")))
        result[name] = {kind: {"error": float(f"{error:.1e}"), "of": k} for kind, (error, k) in worst.items()}
    return result


def rounding(args, folder, case, seed):
    os.environ["SEED"] = str(seed)
    sides = {"torch f64": start(args, case, "f64"), "whet f64": start(args, case, "whet f64", "2"),
             "whet": start(args, case, "whet"), "torch": start(args, case, "nchw"),
             "torch, two threads": start(args, case, "nchw", "2"),
             "torch, channels last": start(args, case, "channels_last")}
    moved = {f"torch f64, moved by {e}": e for e in ("6e-8", "1e-10", "1e-13")}
    sides |= {name: start(args, case, "f64") for name in moved}
    first = os.path.join(folder, "first.safetensors")
    x, y = case[1](args, "train", case[4])
    order = np.random.default_rng(seed).permutation(case[4])
    data, losses, files = write(folder, "train", x[order], y[order]), {}, {}
    sides["torch"].ask("save " + first)
    for name, side in sides.items():
        side.ask(data)
        side.ask("init " + first)
        if name in moved:
            side.ask("move " + moved[name])
        losses[name] = [side.ask("train 1")[2]]
        files[name] = os.path.join(folder, name.replace(" ", "_"))
        side.ask("tensors " + files[name])
        losses[name] += [side.ask("train 1")[2] for _ in range(STEPS - 1)]
        side.close()
    exact = losses["torch f64"]
    far = {name: [abs(a - b) / abs(b) for a, b in zip(x, exact)] for name, x in losses.items() if x != exact}
    return {"seed": seed, "relative_distance_of_losses_to_torch_f64": {
                name: {"by_step": [float(f"{v:.1e}") for v in d], "median": float(f"{statistics.median(d):.1e}"),
                       "largest": float(f"{max(d):.1e}")} for name, d in far.items()},
            "largest_error_of_a_tensor_after_one_step": tensor_errors(files)}


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
            measure = "loss" if case[0] == "vae" else "accuracy"
            record["cases"][name] = {
                "training_images": case[4], "held_out": case[5], "epochs": case[6], "runs": runs,
                f"mean_{measure}": {s: round(statistics.mean(r[measure][s] for r in runs), 4)
                                    for s in ("whet", "torch")}}
            if case[0] == "resnet20":
                record["cases"][name]["rounding"] = [rounding(args, folder, case, seed) for seed in case[-1][:2]]
            print(name, json.dumps(record["cases"][name]), file=sys.stderr, flush=True)
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
