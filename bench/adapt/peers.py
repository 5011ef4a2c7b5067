#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`whet adapt --adapter auto` beside SetFit and PEFT LoRA, on the same 100 labels, pool, test rows and threads.

    bench/adapt/peers.py WHET MODEL DATA RUNS.jsonl [--python bench/peers/.venv/bin/python] [--sets a,b] [--draws 0,1,2]
                         [--methods whet,setfit,lora] [--threads 1] [--dtype f32|bf16]
                         [--peer-device cpu|cuda] [--output R.json]

Sets, pools and test rows are those of adapters.py. Labels are drawn uniformly by the draw's number, once for all
three; whet gets the rest of the pool without labels, which the peers have no use for. The peers run in f32; where
--peer-device is cuda on a GPU, so that their seconds are not to be held against whet's. A run is a line of
RUNS.jsonl; those that are there are not run again. The set's three methods run one after the other, each alone.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time

from adapters import SETS, known, parts, write

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers", "few_labels.py")
LABELS = 100


def task_of(data, name, draw):
    """The table with LABELS labels left, the test table, and the same for the peers."""
    _, _, text, label, length = SETS[name]
    (header, rows), (test_header, held) = parts(data, name)
    columns = header.split("\t")
    t, y = columns.index(text), columns.index(label)
    kept = set(random.Random(draw).sample(range(len(rows)), LABELS))
    cells = [row.split("\t") for row in rows]
    classes = sorted({c[y] for c in cells})
    number = {c: i for i, c in enumerate(classes)}
    table = ["\t".join(c if i in kept else [v if k != y else "" for k, v in enumerate(c)]) for i, c in enumerate(cells)]
    test_columns = test_header.split("\t")
    test = [row.split("\t") for row in held]
    peers = {
        "texts": [cells[i][t] for i in sorted(kept)], "labels": [number[cells[i][y]] for i in sorted(kept)],
        "test_texts": [c[test_columns.index(text)] for c in test],
        "test_labels": [number[c[test_columns.index(label)]] for c in test], "max_length": length,
    }
    return (header, table), (test_header, held), peers


def run_whet(args, name, draw, folder):
    _, _, text, label, length = SETS[name]
    command = [args.whet, "adapt", "--train", f"{folder}/train.tsv", "--test", f"{folder}/test.tsv", "--text", text,
               "--label", label, "--seed", str(draw), "--model", args.model, "--adapter", "auto", "--dtype", args.dtype,
               "--threads", str(args.threads), "--quiet", "--force", "--output", f"{folder}/out"]
    if length:
        command += ["--max-length", str(length)]
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{name} {draw}: status {status}")
    with open(f"{folder}/out/metrics.json", encoding="utf-8") as file:
        metrics = json.load(file)
    test_of = {c["name"]: c["test"]["accuracy"] for c in metrics["candidates"] if c.get("test")}
    tuning = metrics["end_model"]
    return {"accuracy": metrics["test"]["accuracy"], "wall_seconds": round(time.monotonic() - begin, 1),
            "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1), "peak_mb": round(usage.ru_maxrss / 1024),
            "chosen": metrics["chosen"], "kept": tuning["kept"], "lesson": tuning["lesson"],
            "share": next((c["share"] for c in tuning["contenders"] if c["kept"]), None),
            "frozen": test_of.get(tuning["teacher"]), "dtype": args.dtype}


def run_peer(args, method, draw, folder):
    out = subprocess.run([args.python, PEER, method, args.model, f"{folder}/task.json", str(args.threads), str(draw),
                          args.peer_device], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         text=True).stdout
    return {**json.loads(out.strip().splitlines()[-1]), "device": args.peer_device}


def summary(runs):
    """Means over the draws that all methods have."""
    sets = {}
    for name in SETS:
        own = {}
        for r in runs:
            if r["set"] == name:
                own.setdefault(r["method"], {})[r["draw"]] = r
        draws = sorted(set.intersection(*map(set, own.values()))) if own else []
        if draws:
            sets[name] = {"draws": draws}
            for method, by_draw in own.items():
                mean = lambda key: round(statistics.mean(by_draw[d][key] for d in draws), 4)
                sets[name][method] = {k: mean(k) for k in ("accuracy", "wall_seconds", "processor_seconds", "peak_mb")}
    return sets


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("whet", "model", "data", "runs"):
        parser.add_argument(name)
    parser.add_argument("--python", default=os.path.join(os.path.dirname(PEER), ".venv", "bin", "python"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--draws", default="0,1,2")
    parser.add_argument("--methods", default="whet,setfit,lora")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--peer-device", default="cpu")
    parser.add_argument("--output", help="a summary of all runs")
    args = parser.parse_args()
    for draw in map(int, filter(None, args.draws.split(","))):
        for name in args.sets.split(","):
            done = {r["method"] for r in known(args.runs) if r["set"] == name and r["draw"] == draw}
            wanted = [m for m in args.methods.split(",") if m not in done]
            if not wanted:
                continue
            with tempfile.TemporaryDirectory() as folder:
                train, test, peers = task_of(args.data, name, draw)
                write(f"{folder}/train.tsv", train)
                write(f"{folder}/test.tsv", test)
                with open(f"{folder}/task.json", "w", encoding="utf-8") as file:
                    json.dump(peers, file)
                for method in wanted:
                    out = run_whet(args, name, draw, folder) if method == "whet" else \
                        run_peer(args, method, draw, folder)
                    run = {"set": name, "draw": draw, "method": method, "threads": args.threads, **out}
                    with open(args.runs, "a", encoding="utf-8") as file:
                        file.write(json.dumps(run) + "\n")
                    print(name, draw, method, out["accuracy"], out["processor_seconds"], flush=True)
    if args.output:
        runs = known(args.runs)
        with open(args.output, "w", encoding="utf-8") as file:
            json.dump({"budget": LABELS, "sets": summary(runs), "runs": runs}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
