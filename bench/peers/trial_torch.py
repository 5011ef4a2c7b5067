#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A broker's trial as the published market does it, on torch: the buyer's loss, then for each of ten shares both
networks are copied, their state dicts mixed, and the mixture passes over the examples in batches of 512.

    bench/peers/trial_torch.py measure A.safetensors B.safetensors X.npy Y.npy RUNS THREADS [loader]
    bench/peers/trial_torch.py train X.npy Y.npy DIMS SEED OUT.safetensors

measure prints one JSON object: seconds (median, least), processor seconds (median), losses, accuracies. Examples are
one tensor that batches are slices of; with `loader`, a DataLoader gathers them one by one, as the published code has it.
train writes a perceptron (layer0, layer1, ...) after two epochs of SGD.
"""
import copy
import json
import statistics
import sys
import time

import numpy
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F


class Perceptron(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.layers = len(dims) - 1
        for i, (before, after) in enumerate(zip(dims, dims[1:])):
            setattr(self, f"layer{i}", nn.Linear(before, after))

    def forward(self, x):
        for i in range(self.layers - 1):
            x = F.relu(getattr(self, f"layer{i}")(x))
        return getattr(self, f"layer{self.layers - 1}")(x)


def load(path):
    tensors = load_file(path)
    layers = len(tensors) // 2
    dims = [tensors["layer0.weight"].shape[1]] + [tensors[f"layer{i}.weight"].shape[0] for i in range(layers)]
    model = Perceptron(dims)
    model.load_state_dict(tensors)
    return model.eval()


def slices(x, y):
    for i in range(0, len(x), 512):
        yield x[i:i + 512], y[i:i + 512]


def evaluate(model, batches):
    loss, right, n = 0.0, 0, 0
    with torch.no_grad():
        for x, y in batches:
            logits = model(x)
            loss += F.cross_entropy(logits, y, reduction="sum").item()
            right += (logits.argmax(1) == y).sum().item()
            n += len(y)
    return loss / n, right / n


def trial(buyer, seller, batches):
    grid = numpy.arange(0.05, 1.0, 0.1)
    losses, accuracies = [], []
    evaluate(buyer, batches())
    for share in grid:
        mixed, other = copy.deepcopy(buyer), copy.deepcopy(seller)
        ours, theirs = mixed.state_dict(), other.state_dict()
        mixed.load_state_dict({key: (1 - share) * ours[key] + share * theirs[key] for key in ours})
        loss, accuracy = evaluate(mixed, batches())
        losses.append(loss)
        accuracies.append(accuracy)
    return losses, accuracies


def measure(a, b, x, y, runs, threads, loader):
    torch.set_num_threads(threads)
    buyer, seller = load(a), load(b)
    x, y = torch.from_numpy(numpy.load(x)), torch.from_numpy(numpy.load(y).astype(numpy.int64))
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=512)
    times, work = [], []
    for _ in range(runs):
        begin, worked = time.perf_counter(), time.process_time()
        losses, accuracies = trial(buyer, seller, (lambda: data) if loader else (lambda: slices(x, y)))
        times.append(time.perf_counter() - begin)
        work.append(time.process_time() - worked)
    print(json.dumps({"seconds": statistics.median(times), "least": min(times), "processor": statistics.median(work),
                      "losses": losses, "accuracies": accuracies}))


def train(x, y, dims, seed, out):
    torch.manual_seed(seed)
    x, y = torch.from_numpy(numpy.load(x)), torch.from_numpy(numpy.load(y).astype(numpy.int64))
    model = Perceptron([int(d) for d in dims.split("-")])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(2):
        order = torch.randperm(len(x))
        for i in range(0, len(x), 128):
            at = order[i:i + 128]
            optimizer.zero_grad()
            F.cross_entropy(model(x[at]), y[at]).backward()
            optimizer.step()
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, out)


def main():
    if sys.argv[1] == "train":
        train(*sys.argv[2:4], sys.argv[4], int(sys.argv[5]), sys.argv[6])
    else:
        measure(*sys.argv[2:6], int(sys.argv[6]), int(sys.argv[7]), sys.argv[8:] == ["loader"])


if __name__ == "__main__":
    main()
