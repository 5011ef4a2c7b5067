# SPDX-License-Identifier: Apache-2.0
"""Values and gradients of every loss, by torch in f64, from inputs that f32 holds exactly.
Made with torch 2.15: python3 tests/golden/losses/generate.py
"""
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, CLASSES, CANDIDATES, WIDTH = 7, 4, 6, 5
LABELS = torch.tensor([0, 3, -100, 2, 1, 1, 0])
POINTS = torch.tensor([5, 0, 3, -100, 2, 4, 1])  # of the candidates
PAIRED = torch.tensor([0, 1, 0, -1, 1, 2, 0])    # class 2 has one row, row 3 no label
out = {}


def draw(*shape):
    return torch.randn(*shape).double()  # drawn in f32


def leaf(*shape):
    return draw(*shape).requires_grad_()


def case(name, loss, inputs, **others):
    loss.backward()
    out[f"{name}/loss"] = loss.detach().reshape(1)
    for key, value in inputs.items():
        out[f"{name}/{key}"] = value.detach()
        out[f"{name}/grad/{key}"] = value.grad
    for key, value in others.items():
        out[f"{name}/{key}"] = value.int() if value.dtype == torch.int64 else value


def classes():
    for name, smoothing in (("cross_entropy", 0.0), ("smoothed", 0.15)):
        x = leaf(ROWS, CLASSES)
        loss = F.cross_entropy(x, LABELS, ignore_index=-100, label_smoothing=smoothing)
        case(name, loss, {"x": x}, labels=LABELS)
    x, q = leaf(ROWS, CLASSES), F.softmax(draw(ROWS, CLASSES), 1).float().double()
    q[2] = 0  # does not count
    keep = q.sum(1) > 0
    case("soft", F.cross_entropy(x[keep], q[keep]), {"x": x}, targets=q)


def metrics():
    points = draw(CANDIDATES, 2)
    costs = torch.cdist(points[:CLASSES], points).pow(2).float().double()  # [K, N]
    kept = LABELS >= 0
    for name, t in (("expected_cost", 1.0), ("tempered_cost", 0.7)):
        x = leaf(ROWS, CANDIDATES)
        loss = (F.softmax(x[kept] / t, 1) * costs[LABELS[kept]]).sum(1).mean()
        case(name, loss, {"x": x}, labels=LABELS, costs=costs)
    for name, t in (("frechet", 1.0), ("tempered_frechet", 2.5)):
        x = leaf(ROWS, CLASSES)
        loss = F.cross_entropy(-F.softmax(x, 1) @ costs / t, POINTS, ignore_index=-100)
        case(name, loss, {"x": x}, labels=POINTS, costs=costs)


def numbers():
    x, y = leaf(ROWS, 2), draw(ROWS, 2)
    case("mse", F.mse_loss(x, y), {"x": x}, targets=y)
    x, y, z = leaf(ROWS, WIDTH), leaf(ROWS, WIDTH), draw(ROWS)
    case("cosine_mse", F.mse_loss(F.cosine_similarity(x, y), z), {"x": x, "y": y}, targets=z)
    y = torch.rand(ROWS, WIDTH).double()
    for name in ("vae_squares", "vae_entropy"):
        x, m, v = leaf(ROWS, WIDTH), leaf(ROWS, 3), leaf(ROWS, 3)
        reconstruction = (F.mse_loss(torch.sigmoid(x), y) if name == "vae_squares" else
                          F.binary_cross_entropy_with_logits(x, y))
        prior = torch.distributions.Normal(torch.zeros(()).double(), 1)
        posterior = torch.distributions.Normal(m, torch.exp(v / 2))
        divergence = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
        case(name, 3 * reconstruction + divergence, {"x": x, "m": m, "v": v}, targets=y)


def pairs():
    kept = PAIRED >= 0
    labels, apart = PAIRED[kept], ~torch.eye(int(kept.sum()), dtype=torch.bool)
    same = labels[:, None] == labels[None]
    for name in ("pairs", "contrastive", "supervised"):
        x = leaf(ROWS, WIDTH)
        e = F.normalize(x[kept], dim=1)
        s = e @ e.T
        if name == "pairs":
            loss = (s - same.double()).pow(2)[apart].mean()
        elif name == "contrastive":
            loss = torch.where(same, (1 - s).pow(2), F.relu(0.7 - (1 - s)).pow(2))[apart].mean()
        else:
            positive = same & apart
            logs = F.log_softmax((s / 0.3).masked_fill(~apart, -torch.inf), 1)
            counts = positive.sum(1)
            loss = -(logs.masked_fill(~positive, 0).sum(1)[counts > 0] / counts[counts > 0]).mean()
        case(name, loss, {"x": x}, labels=PAIRED)
    for name in ("ranking", "symmetric"):
        x, y = leaf(ROWS, WIDTH), leaf(ROWS, WIDTH)
        s = F.normalize(x, dim=1) @ F.normalize(y, dim=1).T / 0.5
        own = torch.arange(ROWS)
        loss = F.cross_entropy(s, own)
        if name == "symmetric":
            loss = (loss + F.cross_entropy(s.T, own)) / 2
        case(name, loss, {"x": x, "y": y})


def main():
    torch.manual_seed(0)
    classes()
    metrics()
    numbers()
    pairs()
    save_file({k: v.contiguous().clone() for k, v in out.items()}, os.path.join(HERE, "expected.safetensors"))


if __name__ == "__main__":
    main()
