# SPDX-License-Identifier: Apache-2.0
"""Small networks beside torch: paired runs, rounds alternating, medians, as JSON.

    python3 bench/nn/run_conv.py --data ../shared/data --build build
        [--peer bench/peers/.venv/bin/python] > bench/results/convnets.json

Both sides begin with the same parameters (torch's) and see the same batches: ResNet-20 on CIFAR-10 at
batch 128 against torch in its usual order and channels last; two MLPs at batch 32. The loss after all
rounds stands beside the times. Processor time counts where the machine is shared. Then what the
checkpoints score on 1,000 images, beside what their README says.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from run_embed import Worker, median, processor

HERE = os.path.dirname(os.path.abspath(__file__))
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHECKPOINTS = [("resnet20", "resnet20_akamaster", 91.5), ("resnet20", "resnet20_zheng", 91.0),
               ("resnet20", "resnet20_chelcacs", 61.5), ("resnet32", "resnet32_akamaster", 92.8),
               ("resnet56", "resnet56_akamaster", 92.6)]
# Multiplications and additions of a training step an image: forward, and twice that backward, but for
# the gradient of the image itself.
RESNET20 = 2 * (3 * 40_551_680 - 442_368)


def write(folder, name, x, y):
    paths = [os.path.join(folder, f"{name}.{kind}") for kind in ("x", "y")]
    x.astype(np.float32).tofile(paths[0])
    y.astype(np.int32).tofile(paths[1])
    return "data " + " ".join(paths)


def cifar(args, part, rows):
    x = np.load(f"{args.data}/cifar10/{part}_x.npy")[:rows].astype(np.float32) / 255
    return (x - np.float32(MEAN)) / np.float32(DEVIATION), np.load(f"{args.data}/cifar10/{part}_y.npy")[:rows]


def paired(args, folder, case, threads):
    shape = [str(a) for a in case["shape"]]
    hidden = [str(a) for a in case.get("hidden", [])]
    ours = Worker([f"{args.build}/bench/nn/bench_conv", str(threads), case["model"], *shape, *hidden])
    peers = {order: Worker([args.peer, f"{HERE}/../peers/convnet_torch.py", str(threads), case["model"], *shape,
                            order, *hidden]) for order in case["orders"]}
    first = os.path.join(folder, "init.safetensors")
    times = {name: [] for name in ["whet", *peers]}
    products, losses = [], {}
    for worker in [ours, *peers.values()]:
        worker.ask(case["data"])
    next(iter(peers.values())).ask("save " + first)
    for worker in [ours, *peers.values()]:
        worker.ask("init " + first)
        worker.ask(f"train {case['steps']}")
    for _ in range(case["rounds"]):
        for name, worker in [("whet", ours), *peers.items()]:
            answer = worker.ask(f"train {case['steps']}")
            times[name].append(answer)
            losses[name] = answer[2]
        products.append(ours.ask("product 4"))
    record = {"model": case["name"], "batch": case["shape"][0], "threads": threads, "rounds": case["rounds"],
              "steps_a_round": case["steps"], "kernels": ours.hello.split()[0],
              "plan_megabytes": round(int(ours.hello.split()[1]) / 1e6, 2),
              "milliseconds_a_step": {k: median([1e3 * t[0] / case["steps"] for t in v]) for k, v in times.items()},
              "cpu_milliseconds_a_step": {k: median([1e3 * t[1] / case["steps"] for t in v])
                                          for k, v in times.items()},
              "loss_after": losses, "peer": "torch " + next(iter(peers.values())).hello}
    for order in peers:
        pairs = list(zip(times["whet"], times[order]))
        record[f"ratio_{order}"] = median([t[0] / o[0] for o, t in pairs])
        record[f"ratio_{order}_spread"] = [round(f(t[0] / o[0] for o, t in pairs), 3) for f in (min, max)]
        record[f"ratio_cpu_{order}"] = median([t[1] / o[1] for o, t in pairs])
    if "work" in case:
        rate = [case["work"] * case["shape"][0] * case["steps"] / t[1] / 1e9 for t in times["whet"]]
        product = [2 * 512**3 * 4 * threads / t[1] / 1e9 for t in products]
        record["gflops_per_cpu_second"] = {"whet, everything counted": median(rate),
                                           "oneDNN products of 512^3": median(product)}
        record["share_of_product_rate"] = median([r / p for r, p in zip(rate, product)])
    for worker in [ours, *peers.values()]:
        worker.close()
    return record


def scores(args, folder):
    data, rows = write(folder, "test", *cifar(args, "test", 1000)), []
    for model, file, expected in CHECKPOINTS:
        worker = Worker([f"{args.build}/bench/nn/bench_conv", "2", model, "100", "10", "32", "32", "3"])
        worker.ask(data)
        worker.ask(f"init {args.data}/resnet_cifar10/{file}.safetensors")
        rows.append({"checkpoint": file, "per_cent": worker.ask("score")[2] / 10, "readme": expected})
        worker.close()
    return rows


def cases(args, folder):
    images = np.load(f"{args.data}/mnist/train_x.npy")[:6400].reshape(6400, -1) / np.float32(255)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(6400, 20)).astype(np.float32)
    return [
        {"name": "resnet20", "model": "resnet20", "shape": [128, 10, 32, 32, 3], "steps": 4, "rounds": 9,
         "orders": ["nchw", "channels_last"], "work": RESNET20, "threads": [2, 1],
         "data": write(folder, "cifar", *cifar(args, "train", 3968))},
        {"name": "mlp 784-64-10", "model": "mlp", "shape": [32, 10, 1, 1, 784], "hidden": [64], "steps": 400,
         "rounds": 9, "orders": ["nchw"], "threads": [1], "work": 6 * (784 * 64 + 640) - 2 * 784 * 64,
         "data": write(folder, "mnist", images, np.load(f"{args.data}/mnist/train_y.npy")[:6400])},
        {"name": "mlp 20-16-2", "model": "mlp", "shape": [32, 2, 1, 1, 20], "hidden": [16], "steps": 400,
         "rounds": 9, "orders": ["nchw"], "threads": [1],
         "data": write(folder, "points", points, points[:, 0] * points[:, 1] > 0)},
    ]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--build", default="build")
    p.add_argument("--peer", default=f"{HERE}/../peers/.venv/bin/python")
    args = p.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE,
                            check=False).stdout.strip()
    record = {"bench": "convnets", "date": time.strftime("%Y-%m-%d"), "commit": commit, "cpu": processor(),
              "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        record["training"] = [paired(args, folder, case, threads) for case in cases(args, folder)
                              for threads in case["threads"]]
        record["checkpoints"] = scores(args, folder)
    record["load_after"] = os.getloadavg()[0]
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
