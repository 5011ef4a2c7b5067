# SPDX-License-Identifier: Apache-2.0
"""torch as the peer of small networks (bench/nn/run_conv.py starts it); lines as bench_conv's.

    convnet_torch.py THREADS resnetN|mlp|lenet|vae BATCH CLASSES HEIGHT WIDTH CHANNELS
        nchw|channels_last|f64 [HIDDEN ...]

Plain SGD at 0.05 (torch.optim.SGD), gradients set to None, as users write it. `noise NODE` names the
node of whet's recording that draws: a vae's noise is then the same on both sides. `move E`
multiplies each parameter by 1 + E times a standard normal number.
"""
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn


class Block(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.pad = filters // 4 if stride != 1 else 0

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.pad:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(y + x)


class ResNet(nn.Module):
    def __init__(self, channels, blocks, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        before = 16
        for stage in range(3):
            layers = []
            for i in range(blocks):
                layers.append(Block(before, 16 << stage, 2 if stage and i == 0 else 1))
                before = 16 << stage
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(F.avg_pool2d(x, x.size(3)).flatten(1))


class LeNet(nn.Module):
    """LeCun et al. 1998 on 28 x 28, tanh and mean pooling."""
    def __init__(self, channels, classes):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(256, 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = F.avg_pool2d(torch.tanh(conv(x)), 2)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x.flatten(1))))))


def hashed(x):
    """whet_i_hash_u64, the finaliser of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
    return x ^ (x >> np.uint64(31))


def noise(seed, node, rows, columns):
    """whet's standard normal numbers (src/nn/op_sample.c)."""
    with np.errstate(over="ignore"):
        bits = hashed(hashed(np.array([seed + node], np.uint64)) ^ np.arange(rows * columns, dtype=np.uint64))
    u = ((bits >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32
    turn = (bits & np.uint64(0xffffffff)).astype(np.float64) * 2.0**-32
    return torch.from_numpy(np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * turn)).reshape(rows, columns)


class Vae(nn.Module):
    """784-392-196-128-128, latent 128; the negative evidence lower bound of binary pixels."""
    WIDTHS = [392, 196, 128, 128]

    def __init__(self, numbers, latent=128):
        super().__init__()
        self.encoder = nn.Sequential(*self.layers([numbers, *self.WIDTHS]))
        self.mean, self.log_variance = nn.Linear(self.WIDTHS[-1], latent), nn.Linear(self.WIDTHS[-1], latent)
        back = self.WIDTHS[::-1]
        self.decoder = nn.Sequential(*self.layers([latent, *back]), nn.Linear(back[-1], numbers))
        self.node = self.steps = 0

    @staticmethod
    def layers(widths):
        return [m for a, b in zip(widths, widths[1:])
                for m in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.LeakyReLU(0.1))]

    def loss(self, x):
        h = self.encoder(x)
        m, v = self.mean(h), self.log_variance(h)
        z = m
        if self.training:
            z = m + torch.exp(v / 2) * noise(self.steps, self.node, *m.shape).to(m.dtype)
            self.steps += 1
        pixels = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum") / len(x)
        return pixels - 0.5 * (1 + v - m**2 - torch.exp(v)).sum(1).mean()


def dump(model, path):
    """Parameters and <name>.gradient, flat, as bench_conv's `tensors`."""
    tensors = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
    tensors |= {k + ".gradient": v.grad for k, v in model.named_parameters()}
    save_file({k: v.detach().contiguous().reshape(-1) for k, v in tensors.items()}, path)


def make(name, classes, numbers, channels, hidden):
    if name == "vae":
        return Vae(numbers)
    if name == "lenet":
        return LeNet(channels, classes)
    if name.startswith("resnet"):
        return ResNet(channels, (int(name[6:]) - 2) // 6, classes)
    layers, before = [], numbers
    for n in hidden:
        layers += [nn.Linear(before, n), nn.ReLU()]
        before = n
    return nn.Sequential(*layers, nn.Linear(before, classes))


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(int(os.environ.get("SEED", "1")))
    name, order = sys.argv[2], sys.argv[8]
    batch, classes, height, width, channels = (int(a) for a in sys.argv[3:8])
    model = make(name, classes, height * width * channels, channels, [int(a) for a in sys.argv[9:]])
    if order == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    if order == "f64":
        model = model.double()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    images, labels, at = [], [], 0
    print(torch.__version__, flush=True)
    for line in sys.stdin:
        words = line.split()
        wall, cpu, answer = time.perf_counter(), time.process_time(), 0
        if words[0] == "data":
            x = torch.from_numpy(np.fromfile(words[1], np.float32))
            y = torch.from_numpy(np.fromfile(words[2], np.int32).astype(np.int64))
            x = x.reshape(len(y), height, width, channels).to(next(model.parameters()).dtype)
            if name not in ("mlp", "vae"):
                x = x.permute(0, 3, 1, 2).contiguous()
                if order == "channels_last":
                    x = x.contiguous(memory_format=torch.channels_last)
            else:
                x = x.reshape(len(y), -1)
            images, labels = x.split(batch), y.split(batch)
        elif words[0] in ("init", "save"):
            renamed = {}
            for k, v in model.state_dict().items():
                if "num_batches" not in k:  # an MLP's layers are 0, 2, ... in a Sequential
                    renamed[f"layer{int(k[0]) // 2}{k[1:]}" if name == "mlp" else k] = v
            if words[0] == "save":
                save_file({k: v.float().contiguous() for k, v in renamed.items()}, words[1])
            else:
                for k, v in load_file(words[1]).items():
                    renamed[k].copy_(v)
        elif words[0] == "noise":
            model.node = int(words[1])
        elif words[0] == "move":
            with torch.no_grad():
                draw = torch.Generator().manual_seed(99)
                for p in model.parameters():
                    p.mul_(1 + float(words[1]) * torch.randn(p.shape, generator=draw, dtype=torch.float64))
        elif words[0] == "tensors":
            dump(model, words[1])
        elif words[0] == "train":
            model.train()
            for _ in range(int(words[1])):
                optimiser.zero_grad()
                if name == "vae":
                    loss = model.loss(images[at])
                    (loss / images[at].shape[1]).backward()
                else:
                    loss = F.cross_entropy(model(images[at]), labels[at])
                    loss.backward()
                optimiser.step()
                at = (at + 1) % len(images)
            answer = loss.item()
        else:
            model.eval()
            with torch.inference_mode():
                if words[0] == "infer":
                    for i in range(int(words[1])):
                        model(images[i % len(images)])
                elif name == "vae":
                    answer = sum(model.loss(x).item() for x in images)
                else:
                    answer = sum(int((model(x).argmax(1) == y).sum()) for x, y in zip(images, labels))
        print(f"{time.perf_counter() - wall:.9f} {time.process_time() - cpu:.9f} {answer:.17g}", flush=True)


if __name__ == "__main__":
    main()
