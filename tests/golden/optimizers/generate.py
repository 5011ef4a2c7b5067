# SPDX-License-Identifier: Apache-2.0
"""Twenty steps of torch's optimisers on given gradients, and transformers' schedules.
Made with torch 2.15 and transformers 5: python3 tests/golden/optimizers/generate.py
"""
import os

import torch
from safetensors.torch import save_file
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 20
CASES = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1),
    "adamw_clip": lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, weight_decay=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, weight_decay=0.1, nesterov=True),
}


def main():
    torch.manual_seed(0)
    matrix, bias = torch.randn(5, 3), torch.randn(4)
    gm, gb = torch.randn(STEPS, 5, 3), torch.randn(STEPS, 4)
    out = {"matrix": matrix, "bias": bias, "matrix_gradients": gm, "bias_gradients": gb}
    for name, make in CASES.items():
        a, b = torch.nn.Parameter(matrix.clone()), torch.nn.Parameter(bias.clone())
        optimizer = make([{"params": [a]}, {"params": [b], "weight_decay": 0.0}])
        norms = []
        for t in range(STEPS):
            a.grad, b.grad = gm[t].clone(), gb[t].clone()
            norms.append(torch.nn.utils.clip_grad_norm_([a, b], 2.0 if name == "adamw_clip" else 1e9))
            optimizer.step()
        out[name + ".matrix"], out[name + ".bias"] = a.detach(), b.detach()
        out[name + ".norms"] = torch.stack(norms)
    for name, schedule in (("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)):
        p = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([p], lr=1.0)
        s = schedule(optimizer, 3, STEPS)
        rates = []
        for _ in range(STEPS):
            rates.append(s.get_last_lr()[0])
            optimizer.step()
            s.step()
        out["schedule." + name] = torch.tensor(rates, dtype=torch.float64)
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(HERE, "expected.safetensors"))


if __name__ == "__main__":
    main()
