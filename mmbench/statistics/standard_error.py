"""Standard error of a mean whose samples come in clusters.

Source: Liang and Zeger, Longitudinal data analysis using generalized linear models, Biometrika
1986, with the correction G / (G - 1) for few groups; Miller, Adding Error Bars to Evals, 2024
(arXiv 2411.00640), for why questions about one image are not independent.
"""

from __future__ import annotations

import numpy as np

from mmbench.statistics.bootstrap import FloatArray, IntArray


def standard_error(values: FloatArray, groups: IntArray) -> float:
    """Standard error of the mean of values, robust to dependence within groups.

    Equal to that of statsmodels' ordinary least squares on a constant with `cov_type="cluster"`,
    and with a group for each sample, to the standard deviation (n - 1) over the root of n.

    Args:
        values: (N,), one per sample.
        groups: (N,), the group of each sample, 0..G-1, as `group_codes` numbers them.
    Returns: the standard error; NaN where there is one group only.

    >>> round(standard_error(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 1, 2, 3])), 4)
    0.2887
    >>> standard_error(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1]))
    0.5
    """
    residuals = np.bincount(groups, values - values.mean())  # (G,), summed over each group
    count = len(residuals)
    if count == 1:
        return float("nan")
    return float(np.sqrt(count / (count - 1) * (residuals**2).sum()) / len(values))
