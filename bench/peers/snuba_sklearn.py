#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The published Snuba (binary, one-vs-rest) on scikit-learn and NumPy, as a peer of whet's reference
form: it repeats the published runs vote by vote. One run of a golden file, its seconds and votes.

    snuba_sklearn.py RUN.npz ITERATIONS binary|one-vs-rest VOTES.npy
"""
import itertools
import json
import sys
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.tree import DecisionTreeClassifier

GRID = np.linspace(0.25, 0.45, 10)
PIVOT = 0.5


def votes_of(p, beta):
    v = np.zeros(len(p))
    v[p <= PIVOT - beta] = -1
    v[p >= PIVOT + beta] = 1
    return v


def margin(p, y):
    scores = np.array([f1_score(y, votes_of(p, beta), average="weighted") for beta in GRID])
    return GRID[np.flatnonzero(scores == scores.max())[-1]]


def verify(votes):
    w, before, count = np.ones(votes.shape[1]), 0, (votes != 0).sum(0)
    for step in range(1000):
        t = 1 / (1 + np.exp(-votes @ w))
        accuracy = 0.5 * (1 + (votes * (2 * t - 1)[:, None]).sum(0) / (count + 1e-8))
        with np.errstate(all="ignore"):
            odds = np.clip(np.log(accuracy / (1 - accuracy)), -10, 10)
        g = 0.95 * count * (w - odds) / count.sum() + 0.05 * before
        if step > 10 and np.linalg.norm(g) / np.linalg.norm(w) < 1e-6:
            break
        w, before = w - 1e-3 * g, g
        w = np.sign(w) * np.maximum(0, np.abs(w) - 1e-6) / (1 + 0.5e-6)
    return w


def commit(heuristics, x):
    return np.stack([votes_of(m.predict_proba(x[:, [f]])[:, 1], b) for f, m, b in heuristics], 1)


def snuba(x, y, unlabelled, iterations):
    rows, heuristics = np.arange(len(y)), []
    for step in range(iterations):
        xf, yf = x[rows], y[rows]
        if len(set(yf)) == 1:
            xf, yf = np.vstack([xf, -xf[0]]), np.append(yf, -yf[0])
        labelled = np.abs(commit(heuristics, unlabelled)).sum(1) if heuristics else None
        scored = []
        for family, f in itertools.product((0, 1), range(x.shape[1])):
            model = LogisticRegression() if family else DecisionTreeClassifier(max_depth=1)
            model.fit(xf[:, [f]], yf)
            p = model.predict_proba(x[:, [f]])[:, 1]
            beta = margin(p, y)
            score = 0.5 * (votes_of(p, beta) == y).mean() + 0.5
            if heuristics:
                own = np.abs(votes_of(model.predict_proba(unlabelled[:, [f]])[:, 1], beta))
                score -= 0.5 * np.minimum(own, labelled).sum() / np.maximum(own, labelled).sum()
            scored.append((score, f, model, beta))
        order = np.argsort([s[0] for s in scored])[::-1][: 1 if step else 3]
        heuristics += [scored[i][1:] for i in order]
        marginal = 1 / (1 + np.exp(-commit(heuristics, x) @ verify(commit(heuristics, unlabelled))))
        rows = np.flatnonzero(np.abs(marginal - PIVOT) <= 0.5 - 1 / len(heuristics) ** 1.5)
        if len(rows) == 0:
            break
    return heuristics


def main():
    path, iterations, form, output = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    warnings.filterwarnings("ignore")
    data = np.load(path)
    labelled, rest = data["idx_labeled"], data["idx_unlabeled"]
    x, y, unlabelled = data["X"][labelled], data["y"][labelled].astype(int), data["X"][rest]
    both = data["X"][np.concatenate([labelled, rest])]
    begin, worked = time.perf_counter(), time.process_time()
    if form == "binary":
        v = commit(snuba(x, 2 * y - 1, unlabelled, iterations), both)
        v = np.where(v == 0, -1, np.where(v > 0, 1, 0))
    else:
        v = np.concatenate([np.where(commit(snuba(x, np.where(y == c, 1, -1), unlabelled, iterations),
                                            both) > 0, c, -1) for c in range(y.max() + 1)], 1)
    took, used = time.perf_counter() - begin, time.process_time() - worked
    np.save(output, v.astype(np.int8))
    print(json.dumps({"seconds": took, "cpu": used, "rules": v.shape[1]}))


if __name__ == "__main__":
    main()
