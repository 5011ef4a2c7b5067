#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What REPAIR leaves of the barrier between two pre-activation residual networks with group norms (whet's wrn), trained
here on torch from two seeds on the same images: as they are, aligned by weights and by activations, each without
REPAIR and with it. Each network is trained with group norms of so many groups, whose number whet is told.

    bench/merge/repair.py WHET CIFAR10 [--folder F] [--groups 1,4] [--methods weights,activations] [--output R.json]

CIFAR10: a folder of train_x.npy, train_y.npy, test_x.npy and test_y.npy. Networks in F are not trained again.
"""
import argparse
import json
import os
import subprocess
import tempfile
import time

import numpy
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

MEAN, DEVIATION = .5, .25


class Block(nn.Module):
    def __init__(self, before, after, stride, groups):
        super().__init__()
        self.bn1 = nn.GroupNorm(groups, before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn2 = nn.GroupNorm(groups, after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False),
                                          nn.GroupNorm(groups, after))

    def forward(self, x):
        y = self.conv1(torch.relu(self.bn1(x)))
        y = self.conv2(torch.relu(self.bn2(y)))
        return y + (self.shortcut(x) if hasattr(self, "shortcut") else x)


class Network(nn.Module):
    """one block a stage; names are those of whet's wrn"""

    def __init__(self, widen, groups):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        before = 16
        for stage in range(3):
            after = (16 << stage) * widen
            self.add_module(f"layer{stage + 1}", nn.Sequential(Block(before, after, 2 if stage else 1, groups)))
            before = after
        self.bn1 = nn.GroupNorm(groups, before)
        self.linear = nn.Linear(before, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.linear(functional.adaptive_avg_pool2d(torch.relu(self.bn1(x)), 1).flatten(1))


def images(folder, name):
    x = numpy.load(os.path.join(folder, name)).astype(numpy.float32) / 255
    return torch.from_numpy(numpy.ascontiguousarray((x - MEAN) / DEVIATION)).permute(0, 3, 1, 2).contiguous()


def moved(x, rng):
    """flipped, and shifted by at most four places"""
    if rng.random() < .5:
        x = x.flip(3)
    dy, dx = rng.integers(0, 9, 2)
    return functional.pad(x, (4, 4, 4, 4))[:, :, dy:dy + 32, dx:dx + 32]


def train(path, data, seed, args, groups):
    """the processor seconds that it took"""
    x = images(data, "train_x.npy")
    y = torch.from_numpy(numpy.load(os.path.join(data, "train_y.npy")).astype(numpy.int64))
    torch.manual_seed(seed)
    rng = numpy.random.default_rng(seed)
    net = Network(args.widen, groups)
    batch, steps = 100, args.epochs * len(x) // 100
    sgd = torch.optim.SGD(net.parameters(), lr=.1, momentum=.9, weight_decay=5e-4)
    rates = torch.optim.lr_scheduler.OneCycleLR(sgd, .1, total_steps=steps)
    began = time.process_time()
    for step in range(steps):
        if step % (len(x) // batch) == 0:
            order = torch.from_numpy(rng.permutation(len(x)))
        at = order[step % (len(x) // batch) * batch:][:batch]
        loss = functional.cross_entropy(net(moved(x[at], rng)), y[at])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        rates.step()
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path)
    return time.process_time() - began


def lines(args, paths, groups, method, scratch):
    test, train = os.path.join(args.cifar10, "test_{}.npy"), os.path.join(scratch, "measure_x.npy")
    numpy.save(train, numpy.load(os.path.join(args.cifar10, "train_x.npy"))[:args.measure])
    done = subprocess.run(
        [args.whet, "align", *paths, "--arch", f"wrn:{groups}", "--method", method, "--barrier",
         "--data", test.format("x"), "--labels", test.format("y"), "--measure", train, "--repair",
         "--mean", str(MEAN), "--deviation", str(DEVIATION), "--points", str(args.points), "--threads", "1", "--json", "--force",
         "--output", os.path.join(scratch, method + ".safetensors")], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)["lines"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("whet")
    parser.add_argument("cifar10")
    parser.add_argument("--folder")
    parser.add_argument("--groups", default="1,4")
    parser.add_argument("--methods", default="weights,activations")
    parser.add_argument("--widen", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--measure", type=int, default=300, help="training images that REPAIR and activations see")
    parser.add_argument("--points", type=int, default=3)
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--output")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, seconds = [], 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or scratch
        for groups in map(int, args.groups.split(",")):
            paths = [os.path.join(folder, f"wrn-{args.widen}-{groups}-{seed}.safetensors") for seed in range(2)]
            for seed, path in enumerate(paths):
                if not os.path.exists(path):
                    seconds += train(path, args.cifar10, seed, args, groups)
            if args.train_only:
                continue
            for method in args.methods.split(","):
                found = lines(args, paths, groups, method, scratch)
                for name, line in found.items():
                    if method != args.methods.split(",")[0] and name.startswith("before"):
                        continue
                    middle = line["points"][len(line["points"]) // 2]
                    rows.append({"norm_groups": groups, "method": method, "line": name, "barrier": line["barrier"],
                                 "points": args.points, "measured_on": args.measure,
                                 "middle_loss": middle["loss"], "middle_accuracy": middle["accuracy"],
                                 "ends": [[p["loss"], p["accuracy"]] for p in (line["points"][0], line["points"][-1])]})
                    print(json.dumps(rows[-1]), flush=True)
    print(f"trained in {seconds:.0f} processor seconds")
    if args.output:
        with open(args.output, "w") as f:
            json.dump({"widen": args.widen, "epochs": args.epochs, "training_images": 4000,
                       "training_processor_seconds": seconds,
                       "results": rows}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
