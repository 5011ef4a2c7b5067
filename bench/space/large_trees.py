#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Frechet mean beside argmax on large real trees (Greengenes 97, GTDB, ICD-10-CM) with synthetic
posteriors: K leaves are observed, the label of a row is any leaf, and the score of an observed class
is -h d^2 / (2 s^2) + a standard normal, d its distance to the label, s a typical distance from a leaf
to the nearest observed class, h how sharp the classifier is (1 and 8). Dense f32 rows, whet predict from file to file; the time of a row
is the difference of two runs, so that opening the tree is apart.

    bench/space/large_trees.py WHET DATA [--classes 1000] [--rows 1024] [--threads 1] > R.json
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile

import numpy

TREES = {"Greengenes 97": "tree_greengenes97", "GTDB": "tree_gtdb", "ICD-10-CM 2021": "tree_icd10cm_2021"}


class Tree:
    def __init__(self, folder):
        self.parent = numpy.load(f"{folder}/parent.npy").astype(int)
        lengths = f"{folder}/length.npy"
        self.length = (numpy.load(lengths).astype(float) if os.path.exists(lengths)
                       else numpy.ones(len(self.parent)))
        self.leaves = numpy.setdiff1d(numpy.arange(len(self.parent)), self.parent)
        self.space = f"tree:{folder}/parent.npy" + (f",lengths={lengths}" if os.path.exists(lengths)
                                                    else "")

    def up(self, node):
        """[(ancestor, distance to it)], the node itself first"""
        path, far = [], 0.
        while node >= 0:
            path.append((node, far))
            far += self.length[node]
            node = self.parent[node]
        return path

    def distances(self, nodes, others):
        paths = [self.up(o) for o in others]
        out = numpy.empty((len(nodes), len(others)))
        for i, node in enumerate(nodes):
            above = dict(self.up(node))
            out[i] = [next(far + above[v] for v, far in path if v in above) for path in paths]
        return out


def run(args, command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([args.whet, *command, "--threads", str(args.threads), "--force", "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(done.stdout), (after.ru_utime + after.ru_stime
                                     - before.ru_utime - before.ru_stime)


def one(args, folder, name, sharpness):
    tree = Tree(f"{args.data}/{TREES[name]}")
    random = numpy.random.default_rng(7)
    observed = random.choice(tree.leaves, args.classes, replace=False)
    labels = random.choice(tree.leaves, args.rows)
    labels[::4] = random.choice(observed, len(labels[::4]))  # a quarter was seen
    far = tree.distances(labels, observed)
    s = numpy.median(numpy.where(far > 0, far, numpy.inf).min(1))
    score = -sharpness * far**2 / (2 * s * s) + random.standard_normal(far.shape)
    p = numpy.exp(score - score.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    path = lambda file: os.path.join(folder, file)
    numpy.save(path("p.npy"), p.astype(numpy.float32))
    numpy.save(path("few.npy"), p[:16].astype(numpy.float32))
    for file, lines in (("classes.txt", observed), ("truth.tsv", ["label", *labels]),
                        ("few.tsv", ["label", *labels[:16]])):
        with open(path(file), "w", encoding="utf-8", newline="\n") as out:
            out.write("".join(f"{line}\n" for line in lines))
    result = {"nodes": len(tree.parent), "leaves": len(tree.leaves), "classes": args.classes,
              "rows": args.rows, "scale": round(float(s), 4), "sharpness": sharpness}
    for candidates in ("all", "leaves"):
        command = ["predict", "--classes", path("classes.txt"), "--space", tree.space,
                   "--candidates", candidates, "--output", path("out.tsv"), "--probs"]
        _, few = run(args, [*command, path("few.npy"), "--truth", path("few.tsv")])
        report, whole = run(args, [*command, path("p.npy"), "--truth", path("truth.tsv")])
        result[candidates] = {
            **{method: {key: round(value, 4) for key, value in report["truth"][method].items()
                        if isinstance(value, (int, float))} for method in ("argmax", "frechet")},
            "predicted_unobserved": report["predicted_unobserved"],
            "cpu_ms_a_row": round((whole - few) / (args.rows - 16) * 1e3, 3),
            "cpu_s_of_the_command_with_16_rows": round(few, 2)}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("whet")
    parser.add_argument("data")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trees = {f"{name}, sharpness {h}": one(args, folder, name, h) for name in TREES
                 for h in (1, 8)}
    json.dump({"bench": "Frechet mean and argmax on large trees, synthetic posteriors",
               "threads": args.threads, "trees": trees}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
