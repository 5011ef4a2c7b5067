#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Weight matching as Git Re-Basin publishes it (algorithm 1), on torch and scipy: groups in a random order, f32
products of all tensors of a group, scipy's assignment, until a sweep gains less than 1e-12.

    bench/peers/weight_matching_torch.py A.safetensors B.safetensors RUNS THREADS
Perceptrons layer0, layer1, ... alone. Prints one JSON object: seconds (median, least), processor seconds (median), the
objective.
"""
import json
import statistics
import sys
import time

import torch
from safetensors.torch import load_file
from scipy.optimize import linear_sum_assignment


def spec(tensors):
    layers = len(tensors) // 2
    axes = {}
    for i in range(layers):
        out = f"P{i}" if i < layers - 1 else None
        axes[f"layer{i}.weight"] = (out, f"P{i - 1}" if i else None)
        axes[f"layer{i}.bias"] = (out,)
    groups = {}
    for name, of in axes.items():
        for axis, group in enumerate(of):
            if group is not None:
                groups.setdefault(group, []).append((name, axis))
    return axes, groups


def permuted(axes, orders, name, tensor, but=None):
    for axis, group in enumerate(axes[name]):
        if axis != but and group is not None:
            tensor = torch.index_select(tensor, axis, orders[group].int())
    return tensor


def match(axes, groups, a, b, sweeps=300):
    sizes = {group: a[where[0][0]].shape[where[0][1]] for group, where in groups.items()}
    orders = {group: torch.arange(n) for group, n in sizes.items()}
    names = list(groups)
    for _ in range(sweeps):
        progress = False
        for at in torch.randperm(len(names)):
            group = names[at]
            n = sizes[group]
            gram = torch.zeros((n, n))
            for name, axis in groups[group]:
                x = a[name].movedim(axis, 0).reshape(n, -1)
                y = permuted(axes, orders, name, b[name], axis).movedim(axis, 0).reshape(n, -1)
                gram += x @ y.T
            rows, columns = linear_sum_assignment(gram.numpy(), maximize=True)
            assert (rows == torch.arange(n).numpy()).all()
            old = torch.einsum("ij,ij->i", gram, torch.eye(n)[orders[group].long()]).sum()
            new = torch.einsum("ij,ij->i", gram, torch.eye(n)[columns, :]).sum()
            progress = progress or new > old + 1e-12
            orders[group] = torch.tensor(columns)
        if not progress:
            break
    return orders


def main():
    a, b = load_file(sys.argv[1]), load_file(sys.argv[2])
    torch.set_num_threads(int(sys.argv[4]))
    torch.manual_seed(0)
    axes, groups = spec(a)
    times, work = [], []
    for _ in range(int(sys.argv[3])):
        begin, worked = time.perf_counter(), time.process_time()
        orders = match(axes, groups, a, b)
        times.append(time.perf_counter() - begin)
        work.append(time.process_time() - worked)
    total = sum(float((a[name].double() * permuted(axes, orders, name, b[name]).double()).sum())
                for name in a if any(axes[name]))
    print(json.dumps({"seconds": statistics.median(times), "least": min(times),
                      "processor": statistics.median(work), "objective": total}))


if __name__ == "__main__":
    main()
