# SPDX-License-Identifier: Apache-2.0
"""stories260K in torch: the 300 tokens that it says by itself; then trained on four lines: tokens, loss and
gradients of the first step, and the losses of thirty steps of AdamW; all in f64. Gradients are thinned to
at most 120 numbers an array.
Made with torch 2.15 and transformers 5, from the folder that tests/support/stories_folder.py makes:

    python3 tests/golden/stories/generate.py FOLDER
"""
import os
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
LINES = ["The captain sailed around the cold island, and nobody knew why.", "Dogs bark.",
         "Once upon a time, there was a tax form with forty pages! Tim had to fill in all of them.", "A"]
STEPS, MOST, SAID = 30, 120, 300


def loss_of(model, rows):
    """The mean over all next tokens; each text by itself, so that nothing is padded."""
    logits = torch.cat([model(input_ids=row[None]).logits[0] for row in rows])
    labels = torch.cat([torch.cat([row[1:], torch.tensor([-100])]) for row in rows])
    return torch.nn.functional.cross_entropy(logits, labels)


def say(model):
    """Always the most likely token, whole passes; how far ahead of the next one it was at least."""
    ids, ahead = [1], float("inf")
    with torch.no_grad():
        while len(ids) <= SAID:
            best = model(input_ids=torch.tensor([ids])).logits[0, -1].topk(2)
            ahead = min(ahead, (best.values[0] - best.values[1]).item())
            ids.append(best.indices[0].item())
    print("ahead by", ahead)
    return torch.tensor(ids[1:]).int()


def main(folder):
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64)
    said = say(model)
    model.train()
    rows = [torch.tensor(tokenizer.encode(line).ids) for line in LINES]
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=1e-3, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1)
    out = {"said": said, "ids": torch.cat(rows).int(),
           "start": torch.tensor([0] + [len(r) for r in rows]).cumsum(0)}
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, rows)
        loss.backward()
        losses.append(loss.detach())
        if step == 0:
            for name, p in model.named_parameters():
                thin = (p.numel() + MOST - 1) // MOST
                out["gradient." + name] = p.grad.flatten()[::thin].float()
                out["largest." + name] = p.grad.abs().max().reshape(1).float()
        optimizer.step()
    out["losses"] = torch.stack(losses)
    print(losses[0].item(), losses[-1].item())
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(HERE, "expected.safetensors"))


if __name__ == "__main__":
    main(sys.argv[1])
