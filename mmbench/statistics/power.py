"""The least difference that would have been seen: what a comparison had the power to show.

Source: Bloom, Minimum detectable effects, Evaluation Review 19, 1995: (critical value + quantile of
the power) times the standard error; with few seeds the second grows as the first does.
"""

from __future__ import annotations

import numpy as np

from mmbench.statistics.seed_intervals import TwoSources

_POINTS = 100


def least_difference(sources: TwoSources, level: float, power: float) -> float | None:
    """The least true difference that lies outside 0's interval with a probability.

    The interval's half width is c times the standard error SE, and estimated with f degrees of
    freedom. The difference is d SE, with d such that Z + d > c sqrt(chi2(f) / f) as often as asked;
    d = c + z where f is large.

    Args:
        sources: of a difference.
        level: at which 0 must be excluded.
        power: the probability.
    Returns: the difference, unscaled; None where nothing varies, so that nothing is known.
    """
    if sources.error == 0:
        return None
    from scipy.optimize import brentq
    from scipy.special import gammaincinv, ndtr

    critical = sum(sources.arms(level)) / 2 / sources.error
    freedom = sources.error_freedom
    shares = (np.arange(_POINTS) + 0.5) / _POINTS
    widths = critical * np.sqrt(gammaincinv(freedom / 2, shares) * 2 / freedom)
    shift = brentq(lambda d: float(ndtr(d - widths).mean()) - power, 0.0, widths[-1] + 10)
    return float(shift) * sources.error
