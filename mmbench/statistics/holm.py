"""Holm's correction of several tests' p-values.

Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 1979.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmbench.statistics.bootstrap import FloatArray


def holm(p_values: Sequence[float]) -> FloatArray:
    """Adjusted p-values, in the order given: below alpha, the chance of any false claim is too.

    The i-th smallest of m is multiplied by m - i + 1, and none is below a smaller one's. Holds
    whatever the dependence between the tests.

    Raises: ValueError for what is not between 0 and 1.

    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values lie between 0 and 1, got {p.tolist()}")
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)
