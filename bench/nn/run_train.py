# SPDX-License-Identifier: Apache-2.0
"""A training step of whet beside torch (and PEFT): paired rounds, medians, as JSON.

    python3 bench/nn/run_train.py --model DIR --build build
        [--peer bench/peers/.venv/bin/python] [--threads 2] > bench/results/train.json

32 x 128 tokens of all-MiniLM-L6-v2 with a head of two classes, AdamW: every weight, and
adapters of rank 8 on query, key and value; without dropout but where a step says so, and then as
config.json has it, .1 of attention's weights and behind every layer, on both sides. parts=2: whet works on
2,048 tokens at once, as `whet tune` does; without it, on all 4,096; the step is the same. Peak memory is that of the whole process. whet's share of
oneDNN's f32 product rate is the time of the products that the step needs, alone, over the step's.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, TOKENS, ROUNDS = 32, 128, 15
PARTS = ("parts=2",)


class Worker:
    def __init__(self, command):
        self.p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.DEVNULL)
        self.hello = self.p.stdout.readline().strip()

    def ask(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()
        return [float(x) for x in self.p.stdout.readline().split()]

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def median(values):
    return round(statistics.median(values), 3)


def pair(args, mode, dtype, more=()):
    shape = [str(args.threads), dtype, str(ROWS), str(TOKENS)]
    ours = Worker([f"{args.build}/bench/nn/bench_train", args.model, *shape,
                   mode, *more])
    peer = [args.peer, f"{HERE}/../peers/tune_torch.py", "steps", args.model]
    mode_of_peer = "lora" if mode == "more" else mode
    dropout = ["8", "query,key,value", "dropout"] if "dropout" in more else []
    theirs = {d: Worker([*peer, str(args.threads), d, str(ROWS), str(TOKENS), mode_of_peer,
                          *dropout])
              for d in sorted({"f32", dtype})}
    a, b, product = [], {d: [] for d in theirs}, []
    peak = ours.ask("step")[3]  # before `product` takes memory of its own
    for i in range(ROUNDS + 1):
        x = ours.ask("step")
        y = {d: w.ask("step") for d, w in theirs.items()}
        z = ours.ask("product")
        if i == 0:
            continue
        a.append(x)
        product.append(z)
        for d in y:
            b[d].append(y[d])
    record = {
        "mode": mode, "dtype": dtype, "options": list(more), "rows": ROWS, "tokens": TOKENS, "rounds": ROUNDS,
        "kernels": ours.hello.split()[0], "plan_megabytes": int(ours.hello.split()[1]),
        "tokens_per_second": {"whet": median([ROWS * TOKENS / x[0] for x in a])},
        "peak_megabytes": {"whet": round(peak / 1e6)},
        "share_of_onednn_f32_rate": median([z[0] / x[0] for x, z in zip(a, product)]),
        "loss_of_first_measured_step": {"whet": a[0][2]},
    }
    for d, rounds in b.items():
        name = f"torch {d}" + (" + PEFT" if mode != "full" else "")
        record["tokens_per_second"][name] = median([ROWS * TOKENS / y[0] for y in rounds])
        record["peak_megabytes"][name] = round(rounds[-1][3] / 1e6)
        record[f"ratio to {name}"] = median([y[0] / x[0] for x, y in zip(a, rounds)])
        record[f"ratio of processor time to {name}"] = median([y[1] / x[1] for x, y in zip(a, rounds)])
        record["loss_of_first_measured_step"][name] = rounds[0][2]
        theirs[d].close()
    ours.close()
    return record


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--build", default="build")
    p.add_argument("--peer", default=f"{HERE}/../peers/.venv/bin/python")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            cwd=HERE, check=False).stdout.strip()
    record = {"bench": "training step", "date": time.strftime("%Y-%m-%d"), "commit": commit,
              "threads": args.threads, "load_before": os.getloadavg()[0], "steps": []}
    for mode, dtype, more in (("full", "f32", PARTS), ("full", "bf16", PARTS), ("full", "f32", ()),
                              ("full", "f32", (*PARTS, "recompute")), ("full", "f32", (*PARTS, "dropout")),
                              ("lora", "f32", PARTS), ("lora", "f32", (*PARTS, "dropout")),
                              ("lora", "bf16", (*PARTS, "dropout")), ("lora", "bf16", PARTS), ("lora", "f32", ()),
                              ("more", "f32", PARTS)):
        record["steps"].append(pair(args, mode, dtype, more))
        print(json.dumps(record["steps"][-1]), file=sys.stderr, flush=True)
    record["load_after"] = os.getloadavg()[0]
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
