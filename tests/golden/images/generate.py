# SPDX-License-Identifier: Apache-2.0
"""Expected values of operations on images and of small networks, by torch in f64.

    python3 tests/golden/images/generate.py     (torch, numpy, safetensors)

Nothing that goes in is stored: parameters and inputs are a formula of their name and place (formula
below, and in tests/unit/nn/parity_support.c). Images are channels last here as there. What comes out is
stored thinned: every k-th number, at most 120 an array. tests/unit/nn/test_images.c, test_models.c and
tests/unit/label/test_image_features.c read it; versions are in the file's metadata.
"""
import os

import numpy as np
import safetensors
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
MOST = 120
expected = {}


def formula(name, shape):
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    base = np.sin(0.37 * (i * i) + float(sum(name.encode()) % 97))
    last = name.rsplit(".", 1)[-1]
    if last == "running_mean":
        base = 0.2 * base
    elif last == "running_var":
        base = 1 + 0.5 * base
    elif last == "bias":
        base = 0.3 * base
    elif last == "weight" and len(shape) == 1:
        base = 1 + 0.3 * base
    elif last == "weight":
        base = base * (1.5 / np.sqrt(np.prod(shape[1:])))
    return torch.from_numpy(base.astype(np.float32).astype(np.float64).reshape(shape))


def keep(name, values):
    flat = values.detach().contiguous().reshape(-1).numpy()
    step = -(-len(flat) // MOST)
    expected[name] = flat[::step].astype(np.float32)


def nchw(x, h, w, c):
    return x.reshape(-1, h, w, c).permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)


class Case:
    """Parameters by name, made on first use; gradients of all of them are kept."""

    def __init__(self, name):
        self.name, self.params, self.stats = name, {}, {}

    def p(self, name, *shape):
        if name not in self.params:
            self.params[name] = formula(name, shape).requires_grad_()
        return self.params[name]

    def s(self, name, n):
        if name not in self.stats:
            self.stats[name] = formula(name, (n,))
        return self.stats[name]

    def source(self, name, rows, h, w, c):
        return nchw(self.p(name, rows, h * w * c), h, w, c)

    def conv(self, x, module, filters, size, stride, padding, bias=False, dilation=1, groups=1):
        weight = self.p(module + ".weight", filters, x.shape[1] // groups, size, size)
        return F.conv2d(x, weight, self.p(module + ".bias", filters) if bias else None, stride, padding, dilation, groups)

    def batchnorm(self, x, module, train, momentum=0.1):
        n = x.shape[1]
        return F.batch_norm(x, self.s(module + ".running_mean", n), self.s(module + ".running_var", n),
                            self.p(module + ".weight", n), self.p(module + ".bias", n), train, momentum, 1e-5)

    def groupnorm(self, x, module, groups):
        n = x.shape[1]
        return F.group_norm(x, groups, self.p(module + ".weight", n), self.p(module + ".bias", n), 1e-5)

    def dense(self, x, module, n):
        return F.linear(x, self.p(module + ".weight", n, x.shape[1]), self.p(module + ".bias", n))

    def finish(self, loss, out):
        loss.backward()
        keep(self.name + "/loss", loss)
        keep(self.name + "/out", out)
        for name, p in self.params.items():
            keep(f"{self.name}/grad/{name}", p.grad)
        for name, s in self.stats.items():
            keep(f"{self.name}/stat/{name}", s)

    def weigh(self, out):
        i, j = torch.arange(out.shape[0]).reshape(-1, 1), torch.arange(out.shape[1])
        self.finish((torch.cos(1.0 + 7 * i + 3 * j) * out).sum(), out)


def operations():
    for name, rows, h, w, c, filters, size, stride, padding, bias, *more in [
            ("conv_3to16", 9, 8, 8, 3, 16, 3, 1, 1, False), ("conv_16to16", 43, 8, 6, 16, 16, 3, 1, 1, False),
            ("conv_stride", 5, 9, 8, 16, 32, 3, 2, 1, False), ("conv_1x1", 3, 7, 7, 20, 33, 1, 2, 0, True),
            ("conv_lenet", 17, 12, 12, 1, 6, 5, 1, 0, True), ("conv_6to16", 4, 9, 9, 6, 16, 5, 1, 0, True),
            ("conv_one_place", 2, 3, 3, 4, 5, 3, 1, 0, True), ("conv_groups", 5, 9, 8, 12, 24, 3, 2, 1, True, 1, 4),
            ("conv_depthwise", 5, 7, 8, 16, 16, 3, 1, 1, False, 1, 16), ("conv_dilated", 5, 9, 10, 6, 7, 3, 1, 2, False, 2),
            ("conv_dilated_groups", 3, 9, 10, 32, 16, 3, 2, 0, False, 3, 2)]:
        case = Case(name)
        case.weigh(nhwc(case.conv(case.source("x", rows, h, w, c), "c", filters, size, stride, padding, bias, *more)))
    for name, rows, h, w, c, slope, residual, train in [
            ("bn_train", 6, 5, 4, 16, 1, False, True), ("bn_relu_residual", 70, 4, 4, 32, 0, True, True),
            ("bn_leaky", 40, 1, 1, 21, 0.1, False, True), ("bn_eval", 6, 3, 3, 19, 0, True, False)]:
        case = Case(name)
        y = case.batchnorm(case.source("x", rows, h, w, c), "n", train)
        y = y + case.source("r", rows, h, w, c) if residual else y
        case.weigh(nhwc(F.leaky_relu(y, slope)))
    for name, rows, h, w, c, groups, slope in [("gn_1", 5, 4, 4, 24, 1, 0), ("gn_4", 9, 3, 2, 64, 4, 0.1)]:
        case = Case(name)
        case.weigh(nhwc(F.leaky_relu(case.groupnorm(case.source("x", rows, h, w, c), "n", groups), slope)))
    for name, largest, size, stride, padding in [("max_2", True, 2, 2, 0), ("max_3", True, 3, 2, 1),
                                                 ("mean_3", False, 3, 1, 1)]:
        case = Case(name)
        x = case.source("x", 3, 7, 6, 5)
        y = (F.max_pool2d if largest else F.avg_pool2d)(x, size, stride, padding)
        case.weigh(y.reshape(3, -1))  # torch's order: flatten is tested with it
    case = Case("shortcut")
    x = case.source("x", 3, 5, 4, 16)
    case.weigh(nhwc(F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))))


def labels(rows, classes):
    return torch.arange(rows) * 7 % classes


def resnet(case, x, blocks, classes, train):
    x = F.relu(case.batchnorm(case.conv(x, "conv1", 16, 3, 1, 1), "bn1", train))
    for stage in range(3):
        for i in range(blocks):
            name, filters, stride = f"layer{stage + 1}.{i}.", 16 << stage, 2 if stage and i == 0 else 1
            y = F.relu(case.batchnorm(case.conv(x, name + "conv1", filters, 3, stride, 1), name + "bn1", train))
            y = case.batchnorm(case.conv(y, name + "conv2", filters, 3, 1, 1), name + "bn2", train)
            if stride != 1:
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, filters // 4, filters // 4))
            x = F.relu(y + x)
    return case.dense(x.mean((2, 3)), "linear", classes)


def wrn(case, x, blocks, widen, classes):
    x = case.conv(x, "conv1", 16, 3, 1, 1)
    for stage in range(3):
        for i in range(blocks):
            name, filters = f"layer{stage + 1}.{i}.", (16 << stage) * widen
            stride = 2 if stage and i == 0 else 1
            y = case.conv(F.relu(case.groupnorm(x, name + "bn1", 1)), name + "conv1", filters, 3, stride, 1)
            y = case.conv(F.relu(case.groupnorm(y, name + "bn2", 1)), name + "conv2", filters, 3, 1, 1)
            if stride != 1 or x.shape[1] != filters:
                x = case.groupnorm(case.conv(x, name + "shortcut.0", filters, 1, stride, 0), name + "shortcut.1", 1)
            x = x + y
    return case.dense(F.relu(case.groupnorm(x, "bn1", 1)).mean((2, 3)), "linear", classes)


def lenet(case, x, classes):
    for i, filters in ((1, 6), (2, 16)):
        x = F.avg_pool2d(torch.tanh(case.conv(x, f"conv{i}", filters, 5, 1, 0, True)), 2)
    x = torch.tanh(case.dense(x.flatten(1), "fc1", 120))
    return case.dense(torch.tanh(case.dense(x, "fc2", 84)), "fc3", classes)


def hashed(x):
    """splitmix64's finaliser, whet_i_hash_u64."""
    mask = (1 << 64) - 1
    x = ((x ^ (x >> 30)) * 0xbf58476d1ce4e5b9) & mask
    x = ((x ^ (x >> 27)) * 0x94d049bb133111eb) & mask
    return x ^ (x >> 31)


def noise(seed, node, shape):
    stream, out = hashed(seed + node), []
    for i in range(int(np.prod(shape))):
        bits = hashed(stream ^ i)
        u = ((bits >> 32) + 0.5) * 2.0**-32
        out.append(np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * (bits & 0xffffffff) * 2.0**-32))
    return torch.tensor(out).reshape(shape)


def vae(case, x, widths, seed, node):
    def layer(h, part, i, n):
        h = case.batchnorm(case.dense(h, f"{part}.{3 * i}", n), f"{part}.{3 * i + 1}", True)
        return F.leaky_relu(h, 0.1)

    h = x
    for i, n in enumerate(widths[:-1]):
        h = layer(h, "encoder", i, n)
    m, v = case.dense(h, "mean", widths[-1]), case.dense(h, "log_variance", widths[-1])
    z = m + torch.exp(v / 2) * noise(seed, node, m.shape)
    for i, n in enumerate(reversed(widths[:-1])):
        z = layer(z, "decoder", i, n)
    y = case.dense(z, f"decoder.{3 * len(widths) - 3}", x.shape[1])
    divergence = (-0.5 * (1 + v - m**2 - torch.exp(v))).sum(1).mean()
    case.finish(1024 * F.mse_loss(torch.sigmoid(y), x) + divergence, y)


def networks():
    for name, train in (("resnet", True), ("resnet_eval", False)):
        case = Case(name)
        out = resnet(case, nchw(formula("x", (6, 192)), 8, 8, 3), 1, 10, train)
        case.finish(F.cross_entropy(out, labels(6, 10)), out)
    case = Case("wrn")
    out = wrn(case, nchw(formula("x", (5, 192)), 8, 8, 3), 1, 2, 10)
    case.finish(F.cross_entropy(out, labels(5, 10)), out)
    case = Case("lenet")
    out = lenet(case, nchw(formula("x", (5, 784)), 28, 28, 1), 10)
    case.finish(F.cross_entropy(out, labels(5, 10)), out)
    # The sample is node 2 * 2 + 2 of the recording: after two layers (linear, norm) and two heads.
    vae(Case("vae"), formula("x", (12, 30)).abs(), [11, 7, 4], 77, 6)


def first_steps():
    """ResNet-20 on 16 images, five steps of plain SGD at 0.01 (at 0.1, torch in f32 is 1 % from itself in f64)."""
    case, losses = Case("steps"), []
    x, y = nchw(formula("x", (16, 3072)), 32, 32, 3), labels(16, 10)
    for _ in range(5):
        loss = F.cross_entropy(resnet(case, x, 3, 10, True), y)
        for p in case.params.values():
            p.grad = None
        loss.backward()
        with torch.no_grad():
            for p in case.params.values():
                p -= 0.01 * p.grad
        losses.append(loss.detach().reshape(1))
    keep("steps/losses", torch.cat(losses))
    for name, s in case.stats.items():
        keep(f"steps/stat/{name}", s[:4])


def pooled_features():
    """What ResNet-8's linear layer reads, of images of other sizes than 32, grey ones too."""
    for n, h, w, c in [(3, 32, 32, 3), (3, 28, 28, 1), (2, 45, 20, 3), (1, 1, 2, 1), (1, 200, 97, 1)]:
        case = Case("features")
        x = nchw(formula("x", (n, h * w * c)).abs(), h, w, c)
        x = F.interpolate(x, (32, 32), mode="bilinear", antialias=True).expand(n, 3, 32, 32)
        mean, deviation = torch.tensor([.485, .456, .406]), torch.tensor([.229, .224, .225])
        x = (x - mean.reshape(3, 1, 1)) / deviation.reshape(3, 1, 1)
        pooled = []
        case.dense = lambda x, module, n: pooled.append(x)
        resnet(case, x, 1, 10, False)
        keep(f"features/{h}x{w}x{c}", pooled[0])


operations()
networks()
pooled_features()
first_steps()
save_file(expected, os.path.join(HERE, "expected.safetensors"),
          {"torch": torch.__version__, "numpy": np.__version__, "safetensors": safetensors.__version__})
