#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peers of whet's label models on a file of votes: snorkel's package, flyingsquid's, and a
Dawid-Skene in numpy.

    label_models.py VOTES.npy BALANCE.npy MODEL PROBS.npy THREADS [EPOCHS | STEPS]

MODEL is snorkel, flyingsquid (two classes) or dawid-skene. Writes posteriors, and prints seconds of
fitting and of predicting all rows, and CPU seconds, as one JSON object.
"""
import json
import sys
import time

import numpy as np

np.product = np.prod  # pgmpy 0.1.19 is older than numpy 2


def snorkel(votes, balance, epochs):
    from snorkel.labeling.model import LabelModel

    model = LabelModel(cardinality=len(balance), verbose=False)
    yield model.fit(votes, class_balance=list(balance), n_epochs=epochs, lr=0.01, seed=123,
                    progress_bar=False)
    yield model.predict_proba(votes)


def flyingsquid(votes, balance, _):
    from flyingsquid.label_model import LabelModel

    signs = np.where(votes < 0, 0, np.where(votes == 1, 1, -1))
    model = LabelModel(votes.shape[1])
    yield model.fit(signs, class_balance=balance)
    yield model.predict_proba(signs)


def dawid_skene(votes, balance, steps):
    """EM with abstaining as a symbol, the balance fixed, smoothing .01: vectorised, by columns."""
    n, m = votes.shape
    k = len(balance)
    symbol = votes.astype(np.intp) + 1
    covered = (votes >= 0).any(1)
    shown = symbol[covered]
    r = np.stack([(votes[covered] == c).sum(1) for c in range(k)], 1).astype(float)
    r /= r.sum(1, keepdims=True)
    onehot = [np.arange(k + 1)[:, None] == shown[:, j] for j in range(m)]
    onehot = [x.astype(float) for x in onehot]
    for _ in range(steps):
        theta = np.stack([(onehot[j] @ r).T + 0.01 for j in range(m)])  # [m, k, k + 1]
        theta /= theta.sum(2, keepdims=True)
        log_theta = np.log(theta)
        score = np.log(balance) + sum(log_theta[j].T[shown[:, j]] for j in range(m))
        score -= score.max(1, keepdims=True)
        r = np.exp(score)
        r /= r.sum(1, keepdims=True)
    yield None
    out = np.tile(balance, (n, 1))
    score = np.log(balance) + sum(log_theta[j].T[shown[:, j]] for j in range(m))
    score -= score.max(1, keepdims=True)
    score = np.exp(score)
    out[covered] = score / score.sum(1, keepdims=True)
    yield out


def main():
    votes, balance = np.load(sys.argv[1]), np.load(sys.argv[2])
    if int(sys.argv[5]):
        import threadpoolctl
        threadpoolctl.threadpool_limits(int(sys.argv[5]))
        if sys.argv[3] == "snorkel":
            import torch
            torch.set_num_threads(int(sys.argv[5]))
    work = {"snorkel": snorkel, "flyingsquid": flyingsquid, "dawid-skene": dawid_skene}[sys.argv[3]]
    steps = work(votes, balance, int(sys.argv[6]) if len(sys.argv) > 6 else 0)
    if sys.argv[3] == "snorkel":
        from snorkel.labeling.model import LabelModel  # not timed
        LabelModel(cardinality=2, verbose=False).fit(votes[:100] % 2, n_epochs=1, progress_bar=False)
    if sys.argv[3] == "flyingsquid":
        __import__("flyingsquid.label_model")  # not timed
    cpu, begin = time.process_time(), time.perf_counter()
    next(steps)
    fitted = time.perf_counter()
    probs = next(steps)
    done = time.perf_counter()
    np.save(sys.argv[4], probs)
    print(json.dumps({"fit_seconds": fitted - begin, "predict_seconds": done - fitted,
                      "cpu_seconds": time.process_time() - cpu}))


main()
