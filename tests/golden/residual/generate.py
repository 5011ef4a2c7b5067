# SPDX-License-Identifier: Apache-2.0
"""Residual networks of the kinds that whet align runs, and a chain of convolutions, by torch in f64: logits, losses on the line between two
networks, and the same with batch norms measured again. Those of transformers are its own.

    python3 tests/golden/residual/generate.py     (torch, transformers, numpy, safetensors)

Weights and inputs are not stored: they are a formula of their name, place and network (formula below, and in
tests/unit/merge/test_residual_networks.c, which has the same table of kinds). Images are channels last there.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from transformers import ResNetConfig, ResNetForImageClassification

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, CLASSES, POINTS = 6, 5, 5

# name, first kernel, widths of the stages, bottleneck, shortcut ("" = zeros), its kernel, its norm, norms before convolutions,
# groups of group norms (0 = batch norms; -4 = of 4 channels each), biases, norm before the last layer, the last layer, side of an image. Each has 2 blocks a
# stage; a bottleneck's inner width is the stage's, its outer one four times that.
KINDS = [
    ("torchvision", 7, [6, 8, 12], False, "downsample", 1, True, False, 0, False, False, "fc", 48),
    ("kuangliu", 3, [6, 8, 12], False, "shortcut", 1, True, False, 0, False, False, "linear", 16),
    ("rebasin", 3, [8, 12, 16], False, "shortcut", 3, True, False, 1, False, False, "linear", 16),
    ("grouped", 3, [8, 12, 16], False, "shortcut", 1, True, False, 4, False, False, "linear", 16),
    ("normless", 3, [6, 8], False, "shortcut", 1, False, False, 0, True, False, "linear", 16),
    ("preact", 3, [6, 8, 12], False, "shortcut", 1, False, True, 0, False, False, "linear", 16),
    ("wide", 3, [8, 12, 16], False, "shortcut", 1, True, True, 4, False, True, "linear", 16),
    ("bottleneck", 7, [4, 6, 8], True, "downsample", 1, True, False, 0, False, False, "fc", 48),
    ("bottleneck_small", 3, [4, 8], True, "shortcut", 1, True, False, 2, False, False, "linear", 16),
    ("channels", 3, [8, 12, 16], False, "shortcut", 1, True, False, -4, False, False, "linear", 16),
    ("padded", 3, [8, 16, 32], False, "", 1, False, False, -8, False, False, "linear", 16),
    ("preact_bottleneck", 3, [4, 6], True, "shortcut", 1, False, True, 0, False, False, "linear", 16),
    ("strides_first", 7, [4, 6, 8], True, "downsample", 1, True, False, 0, False, False, "fc", 48),
    ("dilated", 3, [6, 8, 12], False, "shortcut", 1, True, False, 0, False, False, "linear", 33),
    ("resnext", 7, [4, 8, 12], True, "downsample", 1, True, False, 0, False, False, "fc", 48),
    ("resnext_preact", 3, [6, 8], True, "shortcut", 1, True, True, 0, False, True, "linear", 16),
    ("resnext_norms", 3, [8, 12], True, "shortcut", 1, True, False, 4, False, False, "linear", 16),
    ("depthwise", 3, [4, 6], True, "shortcut", 1, True, False, 0, True, False, "linear", 16),
]
# Groups of channels of the 3 x 3 convolutions of bottlenecks; 0 = each channel by itself.
CARDINALITIES = {"resnext": 2, "resnext_preact": 2, "resnext_norms": 4, "depthwise": 0}

# What specifications tell of convolutions: stride, padding, dilation, and the pool behind one (largest, size, stride, padding).
# Strides at the first convolutions of bottlenecks; strides replaced by dilations, behind a strided first convolution.
TOLD = {
    "strides_first": {"layer2.0.conv1": (2, 0, 1), "layer2.0.conv2": (1, 1, 1), "layer3.0.conv1": (2, 0, 1),
                      "layer3.0.conv2": (1, 1, 1)},
    "dilated": {"conv1": (2, 0, 1, (False, 3, 1, 1)), "layer1.0.conv2": (2, 1, 1), "layer1.0.shortcut.0": (2, 0, 1),
                "layer2.0.conv1": (1, 2, 2), "layer2.1.conv2": (1, 3, 3), "layer3.0.conv1": (1, 2, 2), "layer3.0.conv2": (2, 2, 2)},
}

# name, widths that stages write, of blocks of which kind, where strides are, side of an image
TRANSFORMERS = [
    ("transformers", [6, 8, 12], "basic", {}, 48),
    ("transformers_bottleneck", [16, 24, 32], "bottleneck", {}, 48),
    ("transformers_strides", [16, 24, 32], "bottleneck",
     {"downsample_in_bottleneck": True, "downsample_in_first_stage": True}, 80),
]


def formula(name, network, shape):
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    base = np.sin(0.37 * (i * i) + float(sum(name.encode()) % 97) + 11.0 * network)
    last = name.rsplit(".", 1)[-1]
    if last == "running_mean":
        base = 0.2 * base
    elif last == "running_var":
        base = 1 + 0.5 * base
    elif last == "bias":
        base = 0.3 * base
    elif last == "weight":
        base = 1 + 0.3 * base if len(shape) == 1 else base * (1.5 / np.sqrt(np.prod(shape[1:])))
    return torch.from_numpy(base.astype(np.float32).astype(np.float64).reshape(shape))


class Weights:
    """Of one network, made on first use, or a mixture of two."""

    def __init__(self, network, share=0.0):
        self.network, self.share = network, share

    def __call__(self, name, *shape):
        if self.network is not None:
            return formula(name, self.network, shape)
        a, b = formula(name, 0, shape), formula(name, 1, shape)
        return ((1 - self.share) * a + self.share * b).float().double()


class Net:
    def __init__(self, kind, weights, measure=False):
        (self.name, self.stem, self.widths, self.bottleneck, self.shortcut, self.kernel, self.shortcut_norm, self.before,
         self.groups, self.bias, self.last_norm, self.head, self.side) = kind
        self.w, self.measure, self.known = weights, measure, {}

    def conv(self, x, module, filters, size, stride=1):
        bias = self.w(module + ".bias", filters) if self.bias else None
        stride, padding, dilation = TOLD.get(self.name, {}).get(module, (stride, size // 2, 1))[:3]
        groups = (CARDINALITIES.get(self.name, 1) or filters) if module.startswith("layer") and module.endswith("conv2") else 1
        weight = self.w(module + ".weight", filters, x.shape[1] // groups, size, size)
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    def norm(self, x, module):
        n = x.shape[1]
        scale, shift = self.w(module + ".weight", n), self.w(module + ".bias", n)
        if self.groups:
            return F.group_norm(x, self.groups if self.groups > 0 else n // -self.groups, scale, shift, 1e-5)
        if self.measure:  # as a pass in training leaves them, which goes on with the batch's own
            self.known[module] = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=True)
            return F.batch_norm(x, None, None, scale, shift, True, 1, 1e-5)
        own = self.w(module + ".running_mean", n), self.w(module + ".running_var", n)
        mean, variance = self.known.get(module, own)
        return F.batch_norm(x, mean, variance, scale, shift, False, 0, 1e-5)

    def block(self, x, module, width, stride):
        out = 4 * width if self.bottleneck else width
        plan = [(width, 1, 1), (width, 3, stride), (out, 1, 1)] if self.bottleneck else [(width, 3, stride), (width, 3, 1)]
        told = TOLD.get(self.name, {})
        stride = int(np.prod([told.get(f"{module}.conv{k}", (step,))[0] for k, (_, _, step) in enumerate(plan, 1)]))
        own = stride != 1 or x.shape[1] != out
        y, read = x, x
        for k, (filters, size, step) in enumerate(plan, 1):
            if self.before:
                y = F.relu(self.norm(y, f"{module}.bn{k}"))
                read = y if k == 1 else read
            y = self.conv(y, f"{module}.conv{k}", filters, size, step)
            if not self.before:
                y = self.norm(y, f"{module}.bn{k}")
                y = F.relu(y) if k < len(plan) else y
        side = x
        if own and not self.shortcut:
            pad = (out - x.shape[1]) // 2
            side = F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, pad, pad))
        elif own:
            side = self.conv(read if self.before and not self.shortcut_norm else x, f"{module}.{self.shortcut}.0", out,
                             self.kernel, stride)
            side = self.norm(side, f"{module}.{self.shortcut}.1") if self.shortcut_norm else side
        return y + side if self.before else F.relu(y + side)

    def __call__(self, x):
        x = self.conv(x, "conv1", self.widths[0], self.stem, 2 if self.stem == 7 else 1)
        if not self.before:
            x = F.relu(self.norm(x, "bn1"))
        if self.stem == 7:
            x = F.max_pool2d(x, 3, 2, 1)
        for largest, *window in TOLD.get(self.name, {}).get("conv1", ())[3:]:
            x = F.max_pool2d(x, *window) if largest else F.avg_pool2d(x, *window)
        for stage, width in enumerate(self.widths, 1):
            for i in range(2):
                x = self.block(x, f"layer{stage}.{i}", width, 2 if stage > 1 and i == 0 else 1)
        if self.last_norm:
            x = F.relu(self.norm(x, "bn1"))
        x = x.mean((2, 3))
        return F.linear(x, self.w(self.head + ".weight", CLASSES, x.shape[1]), self.w(self.head + ".bias", CLASSES))


class Transformers:
    """One of transformers' own: its tensors are the formula's by their names."""

    def __init__(self, kind, weights, measure=False):
        _, widths, layer, strides, _ = kind
        config = ResNetConfig(embedding_size=widths[0] if layer == "basic" else widths[0] // 4, hidden_sizes=widths,
                              depths=[2] * len(widths), layer_type=layer, num_labels=CLASSES, **strides)
        self.net = ResNetForImageClassification(config).double()
        with torch.no_grad():
            for name, tensor in self.net.state_dict().items():
                if not name.endswith("num_batches_tracked"):
                    tensor.copy_(weights(name, *tensor.shape))
        self.net.train(False)

    def measure(self, x):
        for module in self.net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        self.net.train(True)(x)
        self.net.train(False)

    @torch.no_grad()
    def __call__(self, x):
        return self.net(x).logits


class Chain:
    """Convolutions with strides, dilations, groups and pools between them, as tests/unit/merge/test_told_chains.c tells them."""

    def __init__(self, weights):
        self.w = weights

    def conv(self, x, name, filters, size, stride, padding, dilation=1, groups=1):
        weight = self.w(name + ".weight", filters, x.shape[1] // groups, size, size)
        return F.conv2d(x, weight, self.w(name + ".bias", filters), stride, padding, dilation, groups)

    def norm(self, x, name):
        n = x.shape[1]
        return F.batch_norm(x, self.w(name + ".running_mean", n), self.w(name + ".running_var", n), self.w(name + ".weight", n),
                            self.w(name + ".bias", n), False, 0, 1e-5)

    def linear(self, x, name, n):
        return F.linear(x, self.w(name + ".weight", n, x.shape[1]), self.w(name + ".bias", n))

    def __call__(self, x):
        x = F.relu(self.norm(self.conv(x, "features.0", 6, 3, 1, 1), "features.1"))
        x = F.max_pool2d(x, 2)
        x = F.relu(self.norm(self.conv(x, "features.4", 6, 3, 2, 0, groups=6), "features.5"))
        x = F.relu(self.conv(x, "features.7", 8, 2, 1, 1, dilation=2))
        x = F.avg_pool2d(x, 3, 1, 1)
        x = F.relu(self.linear(x.flatten(1), "classifier.0", 7))
        return self.linear(x, "classifier.2", CLASSES)


def loss(net, x):
    return F.cross_entropy(net(x), torch.arange(ROWS) * 2 % CLASSES)


expected = {}
for kind in KINDS:
    side, groups = kind[12], kind[8]
    x = formula("x", 0, (ROWS, side, side, 3)).permute(0, 3, 1, 2)
    more = formula("more", 0, (ROWS, side, side, 3)).permute(0, 3, 1, 2)
    expected[kind[0] + "/logits"] = Net(kind, Weights(0))(x).numpy().astype(np.float32)
    plain, measured = [], []
    for p in range(POINTS):
        mixed = Net(kind, Weights(None, p / (POINTS - 1)))
        plain.append(loss(mixed, x).item())
        if not groups:  # ends are measured as what is between them
            again = Net(kind, Weights(None, p / (POINTS - 1)), measure=True)
            again(more)
            mixed.known = again.known
        measured.append(loss(mixed, x).item())
    expected[kind[0] + "/losses"] = np.array(plain)
    if not groups:
        expected[kind[0] + "/measured"] = np.array(measured)
for kind in TRANSFORMERS:
    side = kind[-1]
    x = formula("x", 0, (ROWS, side, side, 3)).permute(0, 3, 1, 2)
    more = formula("more", 0, (ROWS, side, side, 3)).permute(0, 3, 1, 2)
    expected[kind[0] + "/logits"] = Transformers(kind, Weights(0))(x).numpy().astype(np.float32)
    nets = [Transformers(kind, Weights(None, p / (POINTS - 1))) for p in range(POINTS)]
    expected[kind[0] + "/losses"] = np.array([loss(net, x).item() for net in nets])
    for net in nets:
        net.measure(more)
    expected[kind[0] + "/measured"] = np.array([loss(net, x).item() for net in nets])
x = formula("x", 0, (ROWS, 15, 15, 3)).permute(0, 3, 1, 2)
expected["chain/logits"] = Chain(Weights(0))(x).numpy().astype(np.float32)
expected["chain/losses"] = np.array([loss(Chain(Weights(None, p / (POINTS - 1))), x).item() for p in range(POINTS)])
save_file(expected, os.path.join(HERE, "expected.safetensors"), metadata={"torch": torch.__version__})
