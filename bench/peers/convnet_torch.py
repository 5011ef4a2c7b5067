# SPDX-License-Identifier: Apache-2.0
"""torch as the peer of small networks (bench/nn/run_conv.py starts it); lines as bench_conv's.

    convnet_torch.py THREADS resnetN|mlp|lenet BATCH CLASSES HEIGHT WIDTH CHANNELS nchw|channels_last [HIDDEN ...]

Plain SGD at 0.05 (torch.optim.SGD), gradients set to None, as users write it.
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


def make(name, classes, numbers, channels, hidden):
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
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    images, labels, at = [], [], 0
    print(torch.__version__, flush=True)
    for line in sys.stdin:
        words = line.split()
        wall, cpu, answer = time.perf_counter(), time.process_time(), 0
        if words[0] == "data":
            x = torch.from_numpy(np.fromfile(words[1], np.float32))
            y = torch.from_numpy(np.fromfile(words[2], np.int32).astype(np.int64))
            x = x.reshape(len(y), height, width, channels)
            if not name.startswith("mlp"):
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
                save_file({k: v.contiguous() for k, v in renamed.items()}, words[1])
            else:
                for k, v in load_file(words[1]).items():
                    renamed[k].copy_(v)
        elif words[0] == "train":
            model.train()
            for _ in range(int(words[1])):
                optimiser.zero_grad()
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
                else:
                    answer = sum(int((model(x).argmax(1) == y).sum()) for x, y in zip(images, labels))
        print(f"{time.perf_counter() - wall:.9f} {time.process_time() - cpu:.9f} {answer:.9g}", flush=True)


if __name__ == "__main__":
    main()
