#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Coefficients of scikit-learn's multinomial logistic regression on 24 rows, for test_logistic.c.
Rows come from a formula, so that the test needs no data file. Made with scikit-learn 1.9."""
import numpy as np
from sklearn.linear_model import LogisticRegression

i, j = np.meshgrid(np.arange(24), np.arange(4), indexing="ij")
x = np.sin(1.7 * i + 2.3 * j + 0.4 * i * j)
y = (np.arange(24) * 7 % 11) % 3
for c in (0.1, 1.0, 100.0):
    m = LogisticRegression(C=c, tol=1e-12, max_iter=100000).fit(x, y)
    b = m.intercept_ - m.intercept_.mean()
    print(f"/* C = {c:g} */ {{", ", ".join(f"{v:.12g}" for v in m.coef_.T.ravel()), ",",
          ", ".join(f"{v:.12g}" for v in b), "},")
