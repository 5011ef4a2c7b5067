# SPDX-License-Identifier: Apache-2.0
"""What PEFT's LoRA (plain, rank-stabilised) and DoRA make of one linear layer, in f64: the output and every
gradient of sum(output * weights). Needs torch, peft and safetensors; made with torch 2.15 and peft 0.21.

    python3 tests/golden/adapters/generate.py
"""
import os

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
IN, OUT, ROWS = 12, 7, 5
CASES = {
    "lora": dict(r=3, lora_alpha=6),
    "rslora": dict(r=4, lora_alpha=6, use_rslora=True),
    "dora": dict(r=3, lora_alpha=6, use_dora=True),
    "dora_rs": dict(r=2, lora_alpha=3, use_dora=True, use_rslora=True),
}


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.m = torch.nn.Linear(IN, OUT)

    def forward(self, x):
        return self.m(x)


def main():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(7)
    out = {}
    for name, settings in CASES.items():
        net = get_peft_model(Net(), LoraConfig(target_modules=["m"], **settings))
        layer = net.base_model.model.m
        layer.double()
        for p in layer.parameters():
            torch.nn.init.normal_(p, 0, 0.5)
        parts = {"A": layer.lora_A["default"].weight, "B": layer.lora_B["default"].weight}
        if settings.get("use_dora"):
            parts["magnitude"] = layer.lora_magnitude_vector["default"].weight
            torch.nn.init.uniform_(parts["magnitude"], 0.5, 2)
        x = torch.randn(ROWS, IN, requires_grad=True)
        weights = torch.randn(ROWS, OUT)
        y = net(x)
        (y * weights).sum().backward()
        case = {"x": x, "weights": weights, "y": y, "dx": x.grad, "W": layer.base_layer.weight,
                "bias": layer.base_layer.bias}
        for key, p in parts.items():
            case[key], case["d" + key] = p, p.grad
        out.update({f"{name}.{key}": value.detach().clone() for key, value in case.items()})
    save_file(out, os.path.join(HERE, "peft_layers.safetensors"))


if __name__ == "__main__":
    main()
