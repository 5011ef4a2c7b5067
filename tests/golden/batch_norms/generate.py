# SPDX-License-Identifier: Apache-2.0
"""A trial between two residual networks with batch norms, by torch in f64.

    python3 tests/golden/batch_norms/generate.py     (torch, numpy, safetensors)

Weights and images are a formula of their name and place (below, and in tests/unit/market/test_trial_norms.c),
so that only losses are stored: of the buyer and of the ten shares on the selection, and example by example on
the gate of the buyer and of the best share, each with norms measured on the selection, as momentum None does
it; and the buyer's loss on the gate by the running statistics that it came with.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES, SIDE, N = 3, 8, 24


def formula(name, count):
    i = np.arange(count, dtype=np.float64)
    return np.sin(0.37 * (i * i) + float(sum(name.encode()) % 97))


def parameter(network, name, shape):
    base = formula(network + name, int(np.prod(shape)))
    last = name.rsplit(".", 1)[-1]
    if last == "running_mean":
        base = 0.2 * base
    elif last == "running_var":
        base = 1 + 0.5 * base
    elif last == "bias":
        base = 0.3 * base
    elif len(shape) == 1:
        base = 1 + 0.3 * base
    else:
        base = base * (1.5 / np.sqrt(np.prod(shape[1:])))
    return torch.from_numpy(base.astype(np.float32).astype(np.float64).reshape(shape))


class Block(torch.nn.Module):
    def __init__(self, c_in, c, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(c_in, c, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(c)
        self.conv2 = torch.nn.Conv2d(c, c, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(c)
        self.stride = stride

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride == 2:
            side = y.shape[1] // 4
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side))
        return F.relu(x + y)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        self.layer1 = torch.nn.Sequential(Block(16, 16, 1))
        self.layer2 = torch.nn.Sequential(Block(16, 32, 2))
        self.layer3 = torch.nn.Sequential(Block(32, 64, 2))
        self.linear = torch.nn.Linear(64, CLASSES)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def weights(network):
    return {
        name: parameter(network, name, tuple(t.shape))
        for name, t in Network().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def images(name):
    x = formula(name, N * SIDE * SIDE * 3).astype(np.float32).astype(np.float64)
    return torch.from_numpy(x.reshape(N, SIDE, SIDE, 3)).permute(0, 3, 1, 2)


def network(state, measure):
    net = Network()
    net.load_state_dict(state, strict=False)
    for module in net.modules():
        if measure is not None and isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    if measure is not None:
        net.train()(measure)
    return net.eval()


def losses(net, x, y):
    with torch.no_grad():
        return F.cross_entropy(net(x), y, reduction="none")


buyer, seller = weights("a."), weights("b.")
select, gate = images("select"), images("gate")
labels = torch.arange(N) * 7 % CLASSES
shares = np.arange(0.05, 1, 0.1)


def mixture(w):
    return network({k: (1 - w) * buyer[k] + w * seller[k] for k in buyer}, select)


points = [losses(mixture(w), select, labels).mean().item() for w in [0.0, *shares]]
best = shares[int(np.argmin(points[1:]))]
out = {
    "select": np.array(points),
    "gate_before": losses(mixture(0.0), gate, labels).numpy(),
    "gate_after": losses(mixture(best), gate, labels).numpy(),
    "gate_unmeasured": np.array([losses(network(buyer, None), gate, labels).mean().item()]),
}
save_file(out, os.path.join(HERE, "expected.safetensors"), {"torch": torch.__version__, "numpy": np.__version__})
print(best, points, {k: v.mean() for k, v in out.items()})
