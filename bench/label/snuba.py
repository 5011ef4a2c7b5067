#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seconds of the published Snuba runs: whet's reference form and its corrected form beside the published
algorithm on scikit-learn and NumPy (bench/peers/snuba_sklearn.py), interleaved; and how many votes of
the reference form are the published ones. Quality of the forms: bench/label/rules_quality.py.

    bench/label/snuba.py BENCH_SNUBA WHET GOLDEN PYTHON [--pairs 3] [--threads 2] [--output R.json]
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

import numpy

# iterations, cardinality, form, form of the peer, seconds in the published benchmark's own stack
RUNS = {
    "bin_breastcancer_it3": (3, 1, "multi", "binary", 5.8),
    "bin_digits_even_pca20_it3": (3, 1, "multi", "binary", 4.2),
    "bin_digits_even_pca20_it23": (23, 1, "multi", "binary", 31.7),
    "multi_digits_pca20_it3": (3, 1, "multi", None, 4.9),
    "multi_digits_raw_it3": (3, 1, "multi", None, 18.2),
    "multi_digits_pca10_D2_it3": (3, 2, "multi", None, 53.5),
    "multi_digits_pca20_it23": (23, 1, "multi", None, 540.1),
    "ovr_digits_pca20_it3": (3, 1, "one-vs-rest", "one-vs-rest", 24.6),
    "ovr_digits_raw_it3": (3, 1, "one-vs-rest", "one-vs-rest", 45.0),
}


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def equal_votes(args, name, folder):
    """share of votes of the reference form on labelled and unlabelled rows that are the published ones"""
    iterations, cardinality, form, _, _ = RUNS[name]
    data = numpy.load(f"{args.golden}/snuba_{name}.npz")
    rows = numpy.concatenate([data["idx_labeled"], data["idx_unlabeled"]])
    numpy.save(f"{folder}/x.npy", data["X"][rows])
    with open(f"{folder}/l.tsv", "w", encoding="utf-8") as file:
        file.write("row\tlabel\n" + "".join(
            f"{i}\t{data['y'][r]}\n" for i, r in enumerate(data["idx_labeled"])))
    run(args.whet, "label", "generate", "--features", f"{folder}/x.npy", "--labels", f"{folder}/l.tsv",
        "--method", "snuba", "--reference", "--iterations", iterations, "--cardinality", cardinality,
        "--form", form, "--votes", f"{folder}/v.npy", "--force", "--json", "--quiet")
    ours = numpy.load(f"{folder}/v.npy")
    theirs = numpy.vstack([data["L_labeled"], data["L_unlabeled"]])
    return float((ours == theirs).mean()) if ours.shape == theirs.shape else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("whet")
    parser.add_argument("golden")
    parser.add_argument("python")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output")
    args = parser.parse_args()
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers/snuba_sklearn.py")
    record = {"what": "seconds of the published Snuba runs, 100 labels, 849 (235) unlabelled rows",
              "threads": args.threads, "pairs": args.pairs, "load_average": round(os.getloadavg()[0], 1),
              "runs": {}}
    for name, (iterations, cardinality, form, peer_form, published) in RUNS.items():
        times = {"reference": [], "corrected": [], "one_thread_cpu": [], "corrected_one_thread_cpu": [],
                 "peer": [], "peer_cpu": []}
        with tempfile.TemporaryDirectory() as folder:
            same = equal_votes(args, name, folder)
            for pair in range(args.pairs):
                what = [args.bench, f"{args.golden}/snuba_{name}.npz", iterations, cardinality, form]
                times["reference"].append(run(*what, "reference", args.threads)["seconds"])
                times["one_thread_cpu"].append(run(*what, "reference", 1)["cpu"])
                times["corrected_one_thread_cpu"].append(run(*what, "corrected", 1)["cpu"])
                times["corrected"].append(run(*what, "corrected", args.threads)["seconds"])
                if peer_form and iterations == 3 and (pair == 0 or peer_form == "binary"):
                    peer_run = run(args.python, peer, what[1], iterations, peer_form,
                                   f"{folder}/p.npy")
                    times["peer"].append(peer_run["seconds"])
                    times["peer_cpu"].append(peer_run["cpu"])
        entry = {f"{key}_seconds": round(statistics.median(v), 4) for key, v in times.items() if v}
        entry["published_stack_seconds"] = published
        entry["equal_votes"] = same
        if times["peer"]:
            entry["ratio"] = round(statistics.median(times["peer"]) /
                                   statistics.median(times["reference"]), 1)
            entry["ratio_cpu"] = round(statistics.median(times["peer_cpu"]) /
                                       statistics.median(times["one_thread_cpu"]), 1)
        record["runs"][name] = entry
        print(name, json.dumps(entry), flush=True)
        if args.output:
            with open(args.output, "w", encoding="utf-8") as file:
                json.dump(record, file, indent=1)
                file.write("\n")


if __name__ == "__main__":
    main()
