# SPDX-License-Identifier: Apache-2.0
"""A training step of MoRe and of LoRA beside torch + PEFT's LoRA: rounds of all of them, medians, as JSON.

    python3 bench/nn/run_adapter_steps.py --model DIR --build build [--peer bench/peers/.venv/bin/python]
        [--threads 2] [--rounds 5] > bench/results/adapter_steps.json

all-MiniLM-L6-v2 with a head of two classes, AdamW, no dropout, adapters on query, key and value or on all linear
layers; MoRe with 4 blocks has as many parameters as LoRA of its rank. 32 x 128 tokens, and 32 x 32, some length of
sst2's sentences. Ratios are of the same round: of processor time, which other programs on the machine hardly move, and
of wall time. The losses say that all compute the same thing: second factors are zero at first, so that the first loss
depends on the head alone, which each side draws for itself.
"""
import argparse
import json
import os
import subprocess
import sys
import time

from run_train import Worker, median

HERE = os.path.dirname(os.path.abspath(__file__))
MOST = 2048  # tokens that whet works on at once, as `whet tune` does
CASES = (("f32", 4, "query,key,value", 128), ("bf16", 4, "query,key,value", 128), ("f32", 8, "all", 128),
         ("bf16", 8, "all", 128), ("f32", 4, "query,key,value", 32), ("bf16", 4, "query,key,value", 32))


def case(args, dtype, rank, targets, tokens):
    shape = [str(args.threads), dtype, "32", str(tokens)]
    more = [*(["all"] if targets == "all" else []), *([f"parts={32 * tokens // MOST}"] if 32 * tokens > MOST else [])]
    workers = {mode: Worker([f"{args.build}/bench/nn/bench_train", args.model, *shape, mode, f"rank={rank}", *more])
               for mode in ("more", "lora")}
    workers["peft"] = Worker([args.peer, f"{HERE}/../peers/tune_torch.py", "steps", args.model, *shape, "lora",
                              str(rank), targets])
    rounds = [{name: w.ask("step") for name, w in workers.items()} for _ in range(args.rounds + 1)][1:]
    for w in workers.values():
        w.close()
    record = {"dtype": dtype, "rank": rank, "targets": targets, "tokens": [32, tokens],
              "tokens_per_processor_second": {n: median([32 * tokens / r[n][1] for r in rounds]) for n in workers},
              "peak_megabytes": {n: round(rounds[-1][n][3] / 1e6) for n in workers},
              "losses": {n: [round(r[n][2], 5) for r in rounds[:3]] for n in workers}}
    for name, a, b in (("more to lora", "lora", "more"), ("lora to peft", "peft", "lora"),
                       ("more to peft", "peft", "more")):
        record[name] = {"processor": median([r[a][1] / r[b][1] for r in rounds]),
                        "wall": median([r[a][0] / r[b][0] for r in rounds]),
                        "memory": round(rounds[-1][a][3] / rounds[-1][b][3], 2)}
    return record


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--build", default="build")
    p.add_argument("--peer", default=f"{HERE}/../peers/.venv/bin/python")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    args = p.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE,
                            check=False).stdout.strip()
    record = {"bench": "training step of adapters", "model": "all-MiniLM-L6-v2", "date": time.strftime("%Y-%m-%d"),
              "commit": commit, "threads": args.threads, "rounds": args.rounds, "load_before": os.getloadavg()[0],
              "steps": []}
    for one in CASES:
        record["steps"].append(case(args, *one))
        print(json.dumps(record["steps"][-1]), file=sys.stderr, flush=True)
    record["load_after"] = os.getloadavg()[0]
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
