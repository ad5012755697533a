"""Holm's correction of several tests' p-values.

Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 1979.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmbench.statistics.bootstrap import FloatArray


def holm(p_values: Sequence[float]) -> FloatArray:
    """Adjusted p-values, in the order given: below alpha, the chance of any false claim is too.

    Computed by statsmodels, whatever the dependence between the tests.

    Raises: ValueError for what is not between 0 and 1.

    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values lie between 0 and 1, got {p.tolist()}")
    adjusted: FloatArray = multipletests(p, method="holm")[1]
    return adjusted
