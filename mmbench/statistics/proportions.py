"""Exact intervals of shares, for values near their bounds, where a bootstrap sees too little.

Of 1,000 groups with 2 wrong answers a bootstrap's replicates hold 0 to 5 wrong ones, though 7 are
as likely to have been behind it as 2 are behind 7; of groups without a wrong answer it holds none.

Source: Clopper and Pearson, The use of confidence or fiducial limits, Biometrika 26, 1934; Korn and
Graubard, Confidence intervals for proportions with small expected number of positive counts
estimated from survey data, Survey Methodology 24, 1998 (clusters, by an effective sample size).
"""

from __future__ import annotations

import math


def clopper_pearson(successes: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share; both may be fractions, as an effective sample size is.

    Its ends are quantiles of beta distributions: B(x, n - x + 1) and B(x + 1, n - x).

    >>> low, high = clopper_pearson(812, 812)
    >>> round(low, 5), high
    (0.99547, 1.0)
    """
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    failures = trials - successes
    low = betaincinv(successes, failures + 1, tail) if successes > 0 else 0.0
    high = betaincinv(successes + 1, failures, 1 - tail) if failures > 0 else 1.0
    return float(low), float(high)


def bounded_arms(
    value: float, error: float, bounds: tuple[float, float], level: float
) -> tuple[float, float]:
    """How far the interval of a mean between finite bounds reaches below and above it.

    The mean's place p between its bounds is taken for a share of n = p (1 - p) / error^2 trials:
    the size at which independent samples of 0 or 1 have the same error (Korn and Graubard).

    Args:
        error: standard error of the value, above 0.
        bounds: of the metric; (0, 0) where either is infinite, or the value stands at one.
    """
    low, high = bounds
    width = high - low
    if not (math.isfinite(width) and low < value < high):
        return 0.0, 0.0
    share = (value - low) / width
    trials = share * (1 - share) * (width / error) ** 2
    below, above = clopper_pearson(share * trials, trials, level)
    return (share - below) * width, (above - share) * width


def unspread_arms(
    value: float, groups: int, bounds: tuple[float, float], level: float
) -> tuple[float, float]:
    """How far the interval of a mean reaches whose groups all have one value.

    A share q of all groups may have other values, of which this sample has none; q is at most
    1 - (alpha / 2)^(1 / G), Clopper and Pearson's limit for 0 of G groups. In the worst case these
    stand at a bound. Groups count, not samples: questions about one image may all fail together,
    and where none failed, nothing is known of how much they do. For a share of 0 or 1, this is the
    exact interval over groups.

    Args:
        groups: G, how many groups have a value.
        bounds: of the metric; towards an infinite one nothing can be said, and the arm is 0.
    """
    others = clopper_pearson(0, groups, level)[1] if groups else 1.0
    below, above = value - bounds[0], bounds[1] - value
    return (
        others * below if math.isfinite(below) else 0.0,
        others * above if math.isfinite(above) else 0.0,
    )
