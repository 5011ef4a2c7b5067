#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Folders of adapters between whet and PEFT: the same logits on both sides.

    bench/peers/.venv/bin/python bench/tune/peft_folders.py WHET [MODEL] [--labels 3]

For tiny models of several families, drawn here, and MODEL: adapters of random numbers that PEFT wrote
(LoRA, rsLoRA, DoRA, patterns of ranks and alphas, biases, heads, GraLoRA) are merged by whet, and
transformers runs the result; adapters that whet trained (LoRA, DoRA, MoRe as the LoRA that it is) are loaded
by PEFT, and compared with what whet merges. What PEFT wrote is also written again by whet and loaded by PEFT.
Prints a line a case, and exits with 1 when one differs by more than 1e-4 of the largest logit (f32 on
both sides, sums in other orders).
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import warnings

import torch
import transformers
from peft import GraloraConfig, LoraConfig, PeftModel, get_peft_model

TOLERANCE = 1e-4
TINY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden",
                    "bert_tiny", "even")
worst = 0.0
failed = 0


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"failed: {' '.join(command)}\n{done.stderr}")
    return done.stdout


def tiny_models(folder):
    """{name: (folder, targets)} of drawn models that share the tokens of the tests' tiny one."""
    common = {"vocab_size": 73, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
              "intermediate_size": 64}
    kinds = {
        "bert": (transformers.BertConfig(**common, max_position_embeddings=40), ["query", "value"]),
        "roberta": (transformers.RobertaConfig(**common, max_position_embeddings=42, pad_token_id=1),
                    ["query", "value"]),
        "distilbert": (transformers.DistilBertConfig(vocab_size=73, dim=32, n_layers=2, n_heads=2,
                                                     hidden_dim=64, max_position_embeddings=40),
                       ["q_lin", "v_lin"]),
        "llama": (transformers.LlamaConfig(**common, max_position_embeddings=64, pad_token_id=0,
                                           num_key_value_heads=1), ["q_proj", "v_proj"]),
    }
    made = {}
    for name, (config, targets) in kinds.items():
        path = os.path.join(folder, name)
        torch.manual_seed(1)
        model = (transformers.AutoModelForCausalLM if name == "llama"
                 else transformers.AutoModel).from_config(config)
        model.save_pretrained(path)
        shutil.copy(os.path.join(TINY, "tokenizer.json"), path)
        made[name] = (path, targets)
    return made


def tokens(model, labels):
    generator = torch.Generator().manual_seed(5)
    vocabulary = min(model.config.vocab_size, 1000)
    ids = torch.randint(5, vocabulary, (4, 12), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def classifier(path, labels):
    torch.manual_seed(3)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path, num_labels=labels,
                                                                            dtype=torch.float32)
    return model.eval()


def logits(model, labels):
    with torch.no_grad():
        return model(**tokens(model, labels)).logits


def compare(name, a, b):
    global worst, failed
    difference = float((a - b).abs().max()) / max(1e-9, float(a.abs().max()))
    worst = max(worst, difference)
    failed += difference > TOLERANCE
    print(f"{'ok  ' if difference <= TOLERANCE else 'FAIL'} {difference:9.2e}  {name}")


def peft_configs(targets):
    common = {"target_modules": targets, "task_type": "SEQ_CLS", "init_lora_weights": False}
    first, second = targets
    return {
        "lora": LoraConfig(r=4, lora_alpha=8, **common),
        "rslora": LoraConfig(r=4, lora_alpha=3, use_rslora=True, **common),
        "patterns": LoraConfig(r=4, lora_alpha=8, rank_pattern={first: 2}, layers_to_transform=[1],
                               alpha_pattern={rf"1\..*{second}": 5}, **common),
        "biases": LoraConfig(r=4, lora_alpha=8, bias="lora_only", **common),
        "dora": LoraConfig(r=4, lora_alpha=8, use_dora=True, **common),
        "dora, rslora": LoraConfig(r=3, lora_alpha=2, use_dora=True, use_rslora=True, **common),
        "gralora": GraloraConfig(r=4, gralora_k=2, alpha=6, hybrid_r=2, target_modules=targets,
                                 task_type="SEQ_CLS", init_weights=False),
    }


def from_peft(whet, name, path, targets, labels, folder):
    """PEFT's folder merged by whet, run by transformers; and written by whet, loaded by PEFT."""
    for kind, config in peft_configs(targets).items():
        made = os.path.join(folder, "peft")
        merged = os.path.join(folder, "merged")
        again = os.path.join(folder, "again")
        model = get_peft_model(classifier(path, labels), config).eval()
        with torch.no_grad():
            for key, value in model.named_parameters():
                if "bias" in key and value.requires_grad:
                    value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(9)))
                if "magnitude" in key:
                    value.mul_(1 + 0.3 * torch.rand(value.shape))
        model.save_pretrained(made)
        expected = logits(model, labels)
        with model.disable_adapter():
            moved = float((logits(model, labels) - expected).abs().max() / expected.abs().max())
        if moved < 100 * TOLERANCE:
            sys.exit(f"{name}: {kind}: the adapter changes next to nothing ({moved:.1e})")
        run(whet, "tune", "merge", "--model", path, "--adapter", made, "--output", merged, "--force",
            "--quiet")
        compare(f"{name}: {kind} of PEFT, merged by whet", expected,
                logits(classifier(merged, labels), labels))
        if "dora" not in kind:
            run(whet, "tune", "export", "--adapter", made, "--to", "lora", "--output", again, "--force",
                "--quiet")
            loaded = PeftModel.from_pretrained(classifier(path, labels), again).eval()
            compare(f"{name}: {kind} of PEFT, written by whet, loaded by PEFT", expected,
                    logits(loaded, labels))
        for done in (made, merged, again):
            shutil.rmtree(done, ignore_errors=True)


def from_whet(whet, name, path, targets, labels, folder):
    """Trained by whet, loaded by PEFT, against what whet merges."""
    table = os.path.join(folder, "train.tsv")
    with open(table, "w", encoding="utf-8") as text:
        text.write("text\tlabel\n")
        for i in range(12 * labels):
            text.write(f"{['good', 'bad', 'song'][i % labels]} video number {i}\tc{i % labels}\n")
    settings = {"lora": ["--adapter", "lora"], "more": ["--adapter", "more"],
                "dora": ["--adapter", "dora"],
                "lora, patterns": ["--adapter", "lora", "--rslora", "--rank-pattern",
                                   f"{targets[0]}=2", "--layers", "1"]}
    for kind, options in settings.items():
        tuned, merged = os.path.join(folder, "tuned"), os.path.join(folder, "merged")
        run(whet, "tune", "--model", path, "--train", table, "--epochs", "2", "--lr", "0.01", "--rank",
            "4", "--targets", ",".join(targets), "--output", tuned, "--force", "--quiet", *options)
        run(whet, "tune", "merge", "--model", path, "--adapter", tuned, "--output", merged, "--force",
            "--quiet")
        adapter = tuned
        if kind == "more":
            adapter = os.path.join(folder, "lora")
            run(whet, "tune", "export", "--adapter", tuned, "--to", "lora", "--output", adapter,
                "--force", "--quiet")
        loaded = PeftModel.from_pretrained(classifier(path, labels), adapter).eval()
        compare(f"{name}: {kind} of whet, loaded by PEFT", logits(loaded, labels),
                logits(classifier(merged, labels), labels))
        for done in (tuned, merged, os.path.join(folder, "lora")):
            shutil.rmtree(done, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("whet")
    parser.add_argument("model", nargs="?", help="a BERT folder")
    parser.add_argument("--labels", type=int, default=3)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        models = tiny_models(folder)
        if args.model:
            models["MODEL"] = (args.model, ["query", "value"])
        for name, (path, targets) in models.items():
            from_peft(args.whet, name, path, targets, args.labels, folder)
            from_whet(args.whet, name, path, targets, args.labels, folder)
    print(f"worst {worst:.2e}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
