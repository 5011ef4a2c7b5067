#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Frechet mean beside argmax on real label spaces, with 100 labels and a frozen encoder, over
several draws of the labels: mean squared distance to the label, and accuracy, for all rows and apart
for labels that were among the 100 (seen) and that were not.

    bench/space/real.py WHET MODEL DATA [--sets a,b] [--draws 5] [--threads 1] > R.json

Heads are logistic regressions (whet label baseline --method few-shot) for cross-entropy, for the
expected cost over the observed classes, and for Loki's structured loss. Nothing is chosen on test
rows. Needs NumPy to slice arrays.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

import numpy

LABELS, TEST = 100, 1000


def table(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        header, *rows = (line.split("\t") for line in file.read().splitlines())
    return [dict(zip(header, row)) for row in rows]


def some(rows, seed, share):
    """A share of the values, the same for every draw of a seed."""
    values = sorted(set(rows))
    return set(random.Random(seed).sample(values, round(len(values) * share)))


def mesh(row, seed):
    """One of the document's MeSH paths at random, as the reference draws one label a document."""
    return random.Random(f"{seed}{row['pmid']}").choice(row["mesh_tree_numbers"].split(";")).strip()


def sets(data):
    """name -> (train rows, test rows, text, label, space, candidates, which training labels)"""
    tree = f"tree:{data}/%s/hierarchy.tsv"
    sst5 = [table(f"{data}/sst5/{part}.tsv") for part in ("train", "test")]
    trec = [table(f"{data}/trec/{part}.tsv") for part in ("train", "test")]
    clinc = [table(f"{data}/clinc150/{part}.tsv") for part in ("train", "test")]
    news = table(f"{data}/newsgroups_mini/all.tsv")
    random.Random(0).shuffle(news)
    pubmed = [table(f"{data}/pubmed_mesh/{part}.tsv") for part in ("train", "test")]
    for i, row in enumerate(pubmed[0] + pubmed[1]):
        row["path"] = mesh(row, i)
        row["text"] = row["title"] + ". " + row["abstract"]
    for row in news:
        row["text"] = row["subject"] + ". " + row["body"][:600]
    half = lambda rows, label: lambda seed: some([r[label] for r in rows], seed, .5)
    return {
        "sst5": (*sst5, "text", "label", "path:5", "all", None),
        "sst5, labels 0 and 4 only": (*sst5, "text", "label", "path:5", "all",
                                      lambda seed: {"0", "4"}),
        "trec fine, nodes": (*trec, "text", "fine", tree % "trec", "all", None),
        "trec fine, leaves": (*trec, "text", "fine", tree % "trec", "leaves", None),
        "newsgroups, half the groups, nodes": (news[:1000], news[1000:], "text", "group",
                                               tree % "newsgroups_mini", "all", half(news, "group")),
        "newsgroups, half the groups, leaves": (news[:1000], news[1000:], "text", "group",
                                                tree % "newsgroups_mini", "leaves",
                                                half(news, "group")),
        "clinc150, half the intents, nodes": (*clinc, "text", "intent", tree % "clinc150", "all",
                                              half(clinc[0], "intent")),
        "clinc150, half the intents, leaves": (*clinc, "text", "intent", tree % "clinc150",
                                               "leaves", half(clinc[0], "intent")),
        "clinc150, half the intents, names": (*clinc, "text", "intent", "embedding:names", "all",
                                              half(clinc[0], "intent")),
        "pubmed, nodes": (*pubmed, "text", "path", tree % "pubmed_mesh", "all", None),
    }


class Job:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder

    def whet(self, *command):
        done = subprocess.run([self.args.whet, *command, "--threads", str(self.args.threads),
                               "--force", "--json"], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stderr}")
        return json.loads(done.stdout)

    def path(self, name):
        return os.path.join(self.folder, name)

    def embed(self, texts, name):
        with open(self.path("t.tsv"), "w", encoding="utf-8", newline="\n") as file:
            file.write("text\n" + "".join(t.replace("\r", " ") + "\n" for t in texts))
        self.whet("embed", "--model", self.args.model, "--input", self.path("t.tsv"), "--column",
                  "text", "--output", self.path(name))
        return numpy.load(self.path(name))

    def lines(self, name, lines):
        with open(self.path(name), "w", encoding="utf-8", newline="\n") as file:
            file.write("".join(line + "\n" for line in lines))
        return self.path(name)

    def names_space(self, names):
        self.embed([n.replace("_", " ") for n in names], "names.npy")
        self.lines("names.txt", names)
        return f"embedding:{self.path('names.npy')},metric=cosine,names={self.path('names.txt')}"


def draw(train, label, wanted, seed):
    rows = [i for i, row in enumerate(train) if wanted is None or row[label] in wanted]
    return sorted(random.Random(1000 + seed).sample(rows, min(LABELS, len(rows))))


def one(job, x, setting, seed):
    train, test, _, label, space, candidates, choose = setting
    rows = draw(train, label, choose(seed) if choose else None, seed)
    classes = sorted({train[i][label] for i in rows})
    observed = job.lines("observed.txt", classes)
    truth = job.lines("truth.tsv", ["label"] + [row[label] for row in test])
    labels = job.lines("labels.tsv", ["row\tlabel"] + [f"{at}\t{train[i][label]}"
                                                       for at, i in enumerate(rows)])
    numpy.save(job.path("x.npy"), numpy.concatenate([x[0][rows], x[1]]))
    result = {"observed": len(classes)}
    for loss in ("cross-entropy", "expected-cost", "frechet"):
        more = [] if loss == "cross-entropy" else ["--space", space]
        job.whet("label", "baseline", "--features", job.path("x.npy"), "--labels", labels,
                 "--classes", observed, "--method", "few-shot", "--loss", loss, "--probs",
                 job.path("p.npy"), "--seed", str(seed), *more)
        numpy.save(job.path("q.npy"), numpy.load(job.path("p.npy"))[len(rows):])
        report = job.whet("predict", "--probs", job.path("q.npy"), "--classes", observed, "--space",
                          space, "--candidates", candidates, "--truth", truth, "--output",
                          job.path("pred.tsv"))
        result[loss] = report["truth"]
        result["unobserved predicted, " + loss] = report["predicted_unobserved"]
    return result


def summary(runs):
    """mean and standard deviation over draws, of argmax and the Frechet mean, by loss"""
    out = {"observed": statistics.mean(r["observed"] for r in runs)}
    for loss in ("cross-entropy", "expected-cost", "frechet"):
        for method in ("argmax", "frechet"):
            entry = {}
            for measure in runs[0][loss][method]:
                values = [r[loss][method][measure] for r in runs]
                values = [v for v in values if isinstance(v, (int, float))]
                if values:
                    entry[measure] = [round(statistics.mean(values), 4),
                                      round(statistics.stdev(values), 4) if len(values) > 1 else 0]
            out[f"{loss} head, {method}"] = entry
        out[f"rows predicted as unobserved, {loss}"] = statistics.mean(
            r["unobserved predicted, " + loss] for r in runs)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("whet")
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--sets")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    chosen, results, cache = sets(args.data), {}, {}
    with tempfile.TemporaryDirectory() as folder:
        job = Job(args, folder)
        for name, setting in chosen.items():
            if args.sets and not any(name.startswith(s) for s in args.sets.split(",")):
                continue
            train, test, text, label, space, candidates, choose = setting
            train = train if len(train) <= 4000 else random.Random(0).sample(train, 4000)
            test = test if len(test) <= TEST else random.Random(0).sample(test, TEST)
            key = name.split(",")[0].split(" ")[0]
            if key not in cache:
                cache[key] = [job.embed([r[text] for r in part], "e.npy") for part in (train, test)]
            if space == "embedding:names":
                space = job.names_space(sorted({r[label] for r in train + test}))
            setting = (train, test, text, label, space, candidates, choose)
            runs = [one(job, cache[key], setting, seed) for seed in range(args.draws)]
            results[name] = summary(runs)
            print(name, json.dumps(results[name], indent=1), file=sys.stderr)
    json.dump({"bench": "Frechet mean and argmax on real label spaces", "labels": LABELS,
               "draws": args.draws, "test_rows_at_most": TEST,
               "measures": "mean and standard deviation over draws", "sets": results},
              sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
