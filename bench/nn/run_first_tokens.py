# SPDX-License-Identifier: Apache-2.0
"""A training step whose last layer makes first tokens alone beside one whose last layer makes all, as JSON.

    python3 bench/nn/run_first_tokens.py --model DIR --build build [--threads 2] [--rounds 9]
        > bench/results/first_tokens.json

all-MiniLM-L6-v2 with its family's head, which reads first tokens, AdamW, no dropout, 32 x 26 tokens: every weight, and
LoRA of rank 8 on query, key and value. Steps alternate, and ratios are of the same round: of processor time, which other
programs on the machine hardly move. It is the same function: in f32 the losses stay equal to the last digit printed.
"""
import argparse
import json
import os
import subprocess
import time

from run_train import Worker, median

HERE = os.path.dirname(os.path.abspath(__file__))


def case(args, mode, dtype, tokens):
    command = [f"{args.build}/bench/nn/bench_train", args.model, str(args.threads), dtype, "32", str(tokens), mode]
    sides = {"first": Worker(command), "whole": Worker([*command, "whole"])}
    rounds = [{name: w.ask("step") for name, w in sides.items()} for _ in range(args.rounds + 1)][1:]
    products = [{name: w.ask("product") for name, w in sides.items()} for _ in range(args.rounds)]
    plans = {name: int(w.hello.split()[1]) for name, w in sides.items()}
    for w in sides.values():
        w.close()
    ratios = [r["first"][1] / r["whole"][1] for r in rounds]
    return {"mode": mode, "dtype": dtype, "tokens": [32, tokens], "plan_megabytes": plans,
            "tokens_per_processor_second": {n: median([32 * tokens / r[n][1] for r in rounds]) for n in sides},
            "processor time, first to whole": {"median": median(ratios), "spread": [round(min(ratios), 3), round(max(ratios), 3)]},
            "products alone, first to whole": median([r["first"][1] / r["whole"][1] for r in products]),
            "loss_of_last_step": {n: rounds[-1][n][2] for n in sides}}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--build", default="build")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=9)
    args = p.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE,
                            check=False).stdout.strip()
    record = {"bench": "last layer of first tokens alone", "model": "all-MiniLM-L6-v2", "date": time.strftime("%Y-%m-%d"),
              "commit": commit, "threads": args.threads, "rounds": args.rounds, "load_before": os.getloadavg()[0],
              "cases": [case(args, mode, dtype, 26) for mode in ("full", "lora") for dtype in ("f32", "bf16")]}
    record["load_after"] = os.getloadavg()[0]
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
