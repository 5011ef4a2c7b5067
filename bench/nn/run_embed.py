# SPDX-License-Identifier: Apache-2.0
"""whet embed beside transformers + torch: one paired run, rounds alternating, medians, as JSON.

    python3 bench/nn/run_embed.py --model DIR --build build [--table train.tsv --column text]
        [--peer bench/peers/.venv/bin/python] [--threads 2] > bench/results/embed.json

1. 32 x 128 tokens, f32 and bf16: tokens a second of both, the ratio of each pair of rounds (wall and
   processor time), the least cosine between their embeddings; and what share of oneDNN's own f32
   product rate whet's linear layers reach, all else counted against it.
2. With --table: the whole way from TSV to npy, both element types, with peak memory.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, TOKENS, ROUNDS = 32, 128, 9


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


def least_cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def fixed(args, dtype, folder):
    files = {name: os.path.join(folder, name) for name in ("ids", "ours", "theirs", "exact")}
    whet = Worker([f"{args.build}/bench/nn/bench_embed", args.model, str(args.threads), dtype,
                   str(ROWS), str(TOKENS)])
    whet.ask("ids " + files["ids"])
    command = [args.peer, f"{HERE}/../peers/embed_torch.py", "rounds", args.model, str(args.threads)]
    shape = [files["ids"], str(ROWS), str(TOKENS)]
    torch = Worker(command + [dtype] + shape)
    for worker in (whet, torch):
        worker.ask("embed")
    ours, theirs, product = [], [], []
    for _ in range(ROUNDS):
        ours.append(whet.ask("embed"))
        theirs.append(torch.ask("embed"))
        product.append(whet.ask("product"))
    whet.ask("vectors " + files["ours"])
    torch.ask("vectors " + files["theirs"])
    exact = Worker(command + ["f32"] + shape)
    exact.ask("embed")
    exact.ask("vectors " + files["exact"])
    vectors = {k: np.fromfile(files[k], np.float32).reshape(ROWS, -1) for k in ("ours", "theirs", "exact")}
    for worker in (whet, torch, exact):
        worker.close()
    n = ROWS * TOKENS
    return {
        "dtype": dtype, "rows": ROWS, "tokens": TOKENS, "rounds": ROUNDS, "kernels": whet.hello,
        "peer": "torch " + torch.hello,
        "tokens_per_second": {"whet": median([n / x[0] for x in ours]),
                              "torch": median([n / x[0] for x in theirs])},
        "tokens_per_cpu_second": {"whet": median([n / x[1] for x in ours]),
                                  "torch": median([n / x[1] for x in theirs])},
        "ratio": median([t[0] / o[0] for o, t in zip(ours, theirs)]),
        "ratio_spread": [round(min(t[0] / o[0] for o, t in zip(ours, theirs)), 3),
                         round(max(t[0] / o[0] for o, t in zip(ours, theirs)), 3)],
        "ratio_cpu": median([t[1] / o[1] for o, t in zip(ours, theirs)]),
        "linear_gflops_per_second": {"whet, everything counted": median([o[2] / o[0] / 1e9 for o in ours]),
                                     "oneDNN f32 products alone": median([p[2] / p[0] / 1e9 for p in product])},
        "share_of_onednn_rate": median([p[0] / o[0] for o, p in zip(ours, product)]),
        "least_cosine_to_torch_same_dtype": least_cosine(vectors["ours"], vectors["theirs"]),
        "least_cosine_to_torch_f32": least_cosine(vectors["ours"], vectors["exact"]),
        "torch_least_cosine_to_torch_f32": least_cosine(vectors["theirs"], vectors["exact"]),
    }


def timed(command):
    """Wall seconds, processor seconds and peak resident bytes of a command."""
    start = time.perf_counter()
    p = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode != 0:
        sys.exit(f"failed: {' '.join(command)}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def whole(args, dtype, folder):
    ours, theirs = [], []
    outs = [os.path.join(folder, "ours.npy"), os.path.join(folder, "theirs.npy")]
    for _ in range(args.table_rounds):
        ours.append(timed([f"{args.build}/cli/whet", "embed", "--model", args.model, "--input", args.table,
                           "--column", args.column, "--output", outs[0], "--threads", str(args.threads),
                           "--dtype", dtype, "--force", "--quiet"]))
        theirs.append(timed([args.peer, f"{HERE}/../peers/embed_torch.py", "table", args.model,
                             str(args.threads), args.table, args.column, outs[1], dtype]))
    a, b = np.load(outs[0]), np.load(outs[1])
    return {
        "dtype": dtype,
        "table": os.path.basename(os.path.dirname(os.path.abspath(args.table))) + "/" + os.path.basename(args.table),
        "texts": int(a.shape[0]), "rounds": args.table_rounds,
        "peer": "transformers + torch, batches of 64 in file order, padded",
        "seconds": {"whet": median([x[0] for x in ours]), "torch": median([x[0] for x in theirs])},
        "ratio": median([t[0] / o[0] for o, t in zip(ours, theirs)]),
        "ratio_cpu": median([t[1] / o[1] for o, t in zip(ours, theirs)]),
        "peak_megabytes": {"whet": round(max(x[2] for x in ours) / 1e6),
                           "torch": round(max(x[2] for x in theirs) / 1e6)},
        "least_cosine_to_torch": least_cosine(a, b),
    }


def processor():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--build", default="build")
    p.add_argument("--peer", default=f"{HERE}/../peers/.venv/bin/python")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--table")
    p.add_argument("--column", default="text")
    p.add_argument("--table-rounds", type=int, default=3)
    args = p.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            cwd=HERE, check=False).stdout.strip()
    record = {"bench": "embed", "date": time.strftime("%Y-%m-%d"), "commit": commit,
              "cpu": processor(), "threads": args.threads, "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        record["fixed"] = [fixed(args, dtype, folder) for dtype in ("f32", "bf16")]
        if args.table:
            record["whole"] = [whole(args, dtype, folder) for dtype in ("f32", "bf16")]
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
