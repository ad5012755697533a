"""Frechet distance of two 2048-d Gaussians: mmbench's way against scipy's sqrtm, in one run.

Run: python benchmarks/frechet_speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from scipy.linalg import sqrtm

from mmbench.metrics.base import FloatArray
from mmbench.metrics.images.distance import frechet_distance

WIDTH, TIMES = 2048, 3
RATIO, DIFFERENCE = 0.5, 1e-4


def through_sqrtm(m1: FloatArray, s1: FloatArray, m2: FloatArray, s2: FloatArray) -> float:
    root = sqrtm(s1 @ s2)
    return float(((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * np.trace(root).real)


def best_of(call: Callable[[], float]) -> tuple[float, float]:
    seconds, value = [], 0.0
    for _ in range(TIMES):
        start = time.perf_counter()
        value = call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), value


def main() -> None:
    rng = np.random.default_rng(0)
    for images in (10_000, 1_000):
        moments = []
        for _ in range(2):
            features = rng.standard_normal((images, WIDTH)) * np.linspace(0.1, 2, WIDTH)
            features += rng.random(WIDTH)
            moments += [features.mean(axis=0), np.cov(features, rowvar=False)]
        ours, value = best_of(lambda m=moments: frechet_distance(*m))
        peer, expected = best_of(lambda m=moments: through_sqrtm(*m))
        difference = abs(value - expected) / abs(expected)
        verdict = "ok" if ours / peer <= RATIO and difference <= DIFFERENCE else "MISSED"
        print(
            f"{images} images: mmbench {ours:.2f} s, sqrtm {peer:.2f} s, ratio {ours / peer:.3f} "
            f"(at most {RATIO:g}); relative difference {difference:.1e} (at most {DIFFERENCE:g}): "
            f"{verdict}"
        )


if __name__ == "__main__":
    main()
