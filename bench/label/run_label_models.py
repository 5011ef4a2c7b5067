#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""whet's label models beside their peers, on the same votes, with 2 threads, in turns.

    bench/label/run_label_models.py BENCH PEER_PYTHON > bench/results/label_models.json

BENCH is build-release/bench/label/bench_label_models. Votes are drawn: rules right .9 to .55 of the
time, silent half of it. Each side runs --rounds times, the other in between; the medians and the
ratios of both wall and CPU seconds are told, and how far the posteriors are apart: speed counts at
equal answers alone. Then ten million rows of 50 rules, whet alone, against the target.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DRAW = """
import sys
import numpy as np
folder, n, m = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for k in (2, 10):
    rng = np.random.default_rng(k)
    y = rng.integers(0, k, n)
    votes = np.full((n, m), -1, np.int8)
    for j, right in enumerate(np.linspace(.9, .55, m)):
        vote = np.where(rng.random(n) < right, y, (y + 1 + rng.integers(0, k - 1, n)) % k)
        votes[:, j] = np.where(rng.random(n) < .5, vote, -1)
    np.save(f"{folder}/V{k}.npy", votes)
    np.save(f"{folder}/B{k}.npy", np.full(k, 1 / k))
    np.save(f"{folder}/Y{k}.npy", y)
"""
COMPARE = """
import sys
import numpy as np
a, b, y = (np.load(p) for p in sys.argv[1:4])
print(abs(a - b).max(), (a.argmax(1) == y).mean(), (b.argmax(1) == y).mean())
"""
# name, peer, classes, whet's method and options, the peer's argument, what the target counts
CASES = [
    ("snorkel, 100 epochs", "snorkel 0.10.0", 10, ["snorkel", "epochs=100"], "snorkel", "100", "fit + predict"),
    ("flyingsquid, its exponent", "flyingsquid (pgmpy)", 2, ["flyingsquid", "compat"], "flyingsquid", "0", "predict"),
    ("dawid-skene, 10 steps", "numpy", 10, ["dawid-skene", "steps=10"], "dawid-skene", "10", "fit + predict"),
    ("dawid-skene, 10 steps", "numpy", 2, ["dawid-skene", "steps=10"], "dawid-skene", "10", "fit + predict"),
]


def run(command):
    p = subprocess.run(command, capture_output=True, text=True, check=False)
    if p.returncode != 0:
        sys.exit(f"failed: {' '.join(command)}\n{p.stderr}")
    return (p.stdout.strip().splitlines() or [""])[-1]


def spread(rounds, key):
    return statistics.median(r[key] for r in rounds)


def case(args, folder, what):
    name, peer, k, method, peer_model, argument, counts = what
    votes, balance = f"{folder}/V{k}.npy", f"{folder}/B{k}.npy"
    ours, single, theirs = [], [], []
    for _ in range(args.rounds):
        for threads, runs in (("2", ours), ("1", single)):
            runs.append(json.loads(run([args.bench, votes, method[0], "5", threads,
                                        f"balance={balance}", *method[1:],
                                        f"probs={folder}/ours.npy"])))
        theirs.append(json.loads(run([args.peer, f"{HERE}/../peers/label_models.py", votes, balance,
                                      peer_model, f"{folder}/theirs.npy", "2", argument])))
    apart, right, peer_right = map(float, run(
        [args.peer, "-c", COMPARE, f"{folder}/ours.npy", f"{folder}/theirs.npy",
         f"{folder}/Y{k}.npy"]).split())
    seconds = (lambda r: r["predict_seconds"]) if counts == "predict" else (
        lambda r: r["fit_seconds"] + r["predict_seconds"])
    whet = statistics.median(map(seconds, ours))
    other = statistics.median(map(seconds, theirs))
    return {
        "model": name, "peer": peer, "rows": ours[0]["rows"], "rules": ours[0]["rules"],
        "classes": k, "counted": counts,
        "whet_seconds": round(whet, 5), "peer_seconds": round(other, 4),
        "ratio": round(other / whet, 1),
        "whet_fit": round(spread(ours, "fit_seconds"), 5),
        "whet_predict": round(spread(ours, "predict_seconds"), 5),
        "peer_fit": round(spread(theirs, "fit_seconds"), 4),
        "peer_predict": round(spread(theirs, "predict_seconds"), 4),
        "whet_cpu_one_thread": round(spread(single, "cpu_seconds"), 5),
        "peer_cpu": round(spread(theirs, "cpu_seconds"), 4),
        "cpu_ratio": round(spread(theirs, "cpu_seconds") / spread(single, "cpu_seconds"), 1),
        "posteriors_apart": float(f"{apart:.2g}"),
        "accuracy": round(right, 4), "peer_accuracy": round(peer_right, 4),
    }


def large(args, method, k):
    r = json.loads(run([args.bench, f"draw:10000000x50x{k}", method, "1", "2"]))
    return {"model": method, "rows": r["rows"], "rules": r["rules"], "classes": k,
            "steps": r["steps"], "fit_seconds": round(r["fit_seconds"], 3),
            "predict_seconds": round(r["predict_seconds"], 3),
            "cpu_seconds": round(r["cpu_seconds"], 3), "peak_mb": r["peak_mb"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("bench")
    parser.add_argument("peer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=1)
    args = parser.parse_args()
    out = {
        "bench": "label models on drawn votes, beside their packages",
        "target": "100,000 rows, 20 rules: snorkel 50 x (10 classes, fit + predict), flyingsquid "
                  "500 x (predict), dawid-skene 20 x numpy; 10,000,000 x 50 under 10 s and 2 GB",
        "threads": 2, "rounds": args.rounds,
        "load": [round(x, 1) for x in os.getloadavg()],
        "note": "other work ran on the same two cores, which makes threads wait for one another: trust "
                "first the ratio of CPU seconds, of whet on one thread and of the peer as it comes",
    }
    with tempfile.TemporaryDirectory() as folder:
        run([args.peer, "-c", DRAW, folder, "100000", "20"])
        out["runs"] = [case(args, folder, what) for what in CASES]
    if args.large:
        out["large"] = [large(args, m, k) for m, k in (("snorkel", 2), ("flyingsquid", 2),
                                                       ("dawid-skene", 2))]
    print(json.dumps(out, indent=1))


main()
