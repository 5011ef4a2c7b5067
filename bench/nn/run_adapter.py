# SPDX-License-Identifier: Apache-2.0
"""What adapters add to the price of a linear layer's forward pass, as JSON.

    python3 bench/nn/run_adapter.py [--build build] [--threads 2] [--rounds 31] > bench/results/adapter.json

bench_adapter says what it measures. `arithmetic` is what the adapter's multiplications are over those of the layer:
what it would cost at the base product's own rate.
"""
import argparse
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", default="build")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=31)
    args = p.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE,
                            check=False).stdout.strip()
    record = {"bench": "adapted linear layer, forward", "date": time.strftime("%Y-%m-%d"), "commit": commit,
              "threads": args.threads, "rounds": args.rounds, "rows": 2048, "load_before": os.getloadavg()[0],
              "layers": []}
    for dtype in ("f32", "bf16"):
        for inputs, outputs in ((384, 384), (384, 1152), (768, 768), (1024, 1024)):
            out = subprocess.run([f"{args.build}/bench/nn/bench_adapter", str(args.threads), dtype, str(inputs),
                                  str(outputs), str(args.rounds)], capture_output=True, text=True, check=True).stdout
            lines = out.splitlines()
            for line in lines[1:]:
                rank, blocks, bare, adapted, products, off = line.split()
                record["layers"].append({
                    "dtype": dtype, "in": inputs, "out": outputs, "rank": int(rank), "blocks": int(blocks),
                    "kernels": lines[0], "bare_milliseconds": round(1000 * float(bare), 3),
                    "adapted / bare": float(adapted), "LoRA as two products / bare": float(products),
                    "arithmetic": round(1 + int(rank) * (inputs + outputs) / inputs / outputs, 4),
                    "largest_difference": float(off)})
                print(json.dumps(record["layers"][-1]), file=sys.stderr, flush=True)
    record["load_after"] = os.getloadavg()[0]
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
