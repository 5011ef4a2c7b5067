# SPDX-License-Identifier: Apache-2.0
"""The Frechet mean over trees: whet's two passes beside the dense product that numpy users write.

The peer is probs @ D2 followed by argmin, in float32, with D2 (classes x nodes) made beforehand and
not timed; whet computes in float64. Same rows, same threads, one after the other on one machine;
the median of several runs of each.
Quality: the share of rows on which both give the same node, or nodes whose exact costs tie.

    python3 bench/peers/frechet_numpy.py build/bench/space/bench_frechet [THREADS] > bench/results/space.json
"""
import collections
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import threadpoolctl

SIZES = [(1000, 100), (1000, 1000), (1785, 100), (1785, 1000), (10000, 1000), (10000, 10000)]
ROWS = 256


def distances(parent, sources):
    """Hops from each source to every node, by breadth-first search."""
    n = len(parent)
    neighbours = [[] for _ in range(n)]
    for v, p in enumerate(parent):
        if p >= 0:
            neighbours[v].append(p)
            neighbours[p].append(v)
    d = np.empty((len(sources), n), np.float32)
    for row, source in zip(d, sources):
        row.fill(-1)
        row[source] = 0
        queue = collections.deque([source])
        while queue:
            v = queue.popleft()
            for w in neighbours[v]:
                if row[w] < 0:
                    row[w] = row[v] + 1
                    queue.append(w)
    return d


def tree_distances(parent, sources):
    """The same through depths of all pairs, a node at a time: for many sources."""
    n = len(parent)
    d = np.zeros((n, n), np.float32)
    for v in range(1, n):  # parents come first
        d[v, :v] = d[parent[v], :v] + 1
        d[:v, v] = d[v, :v]
    return d[sources]


def measure(bench, nodes, classes, threads):
    with tempfile.TemporaryDirectory() as folder:
        ours = json.loads(subprocess.check_output(
            [bench, str(nodes), str(classes), str(ROWS), str(threads), folder]))
        parent = np.fromfile(f'{folder}/parent.i64', np.int64)
        observed = np.fromfile(f'{folder}/observed.i64', np.int64)
        probs = np.fromfile(f'{folder}/probs.f64').reshape(ROWS, classes)
        best = np.fromfile(f'{folder}/best.i64', np.int64)
    d = (distances if classes < 200 else tree_distances)(parent, observed)
    square = d * d
    single = probs.astype(np.float32)
    took = []
    with threadpoolctl.threadpool_limits(threads):
        for _ in range(25):
            start = time.perf_counter()
            peer = (single @ square).argmin(1)
            took.append(time.perf_counter() - start)
    took = statistics.median(took)
    exact = np.einsum('rk,kr->r', probs, square[:, best].astype(float))
    exact_peer = np.einsum('rk,kr->r', probs, square[:, peer].astype(float))
    return {
        'nodes': nodes, 'classes': classes, 'rows': ROWS, 'threads': threads,
        'whet_ms': round(ours['ms'], 3),
        'numpy_ms': round(took * 1e3, 3),
        'ratio': round(took * 1e3 / ours['ms'], 2),
        'whet_costs_no_more': float(np.mean(exact <= exact_peer * (1 + 1e-12))),
        'same_or_tied': float(np.mean(np.abs(exact - exact_peer) <= 1e-9 * exact)),
    }


def main():
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    record = {
        'what': 'Frechet mean over all nodes of a random tree, 256 rows: whet (f64, exact) against '
                'numpy probs @ D2 + argmin (f32, D2 given)',
        'numpy': np.__version__, 'machine': platform.machine(),
        'results': [measure(sys.argv[1], n, k, threads) for n, k in SIZES],
    }
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == '__main__':
    main()
