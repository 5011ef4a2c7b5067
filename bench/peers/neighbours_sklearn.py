#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The nearest rows by cosine of every row of X.npy, by scikit-learn's exact search.

    neighbours_sklearn.py X.npy NEIGHBOURS THREADS INDEX.npy
"""
import json
import sys
import time

import numpy as np
from sklearn.neighbors import NearestNeighbors

x, m = np.load(sys.argv[1]), int(sys.argv[2])
search = NearestNeighbors(n_neighbors=m, metric="cosine", algorithm="brute", n_jobs=int(sys.argv[3])).fit(x)
begin = time.perf_counter()
index = search.kneighbors(return_distance=False)
took = time.perf_counter() - begin
np.save(sys.argv[4], index)
print(json.dumps({"seconds": round(took, 4)}))
