"""The Frechet distance of two 2,048-d Gaussians against scipy's matrix square root, in one run.

    python benchmarks/frechet_speed.py

Wanted: at most half the time, and the same value to 1e-4.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.linalg import sqrtm

from mmbench.metrics.images.distance import frechet_distance

WIDTH = 2048


def gaussian(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(seed).normal(size=(3 * WIDTH, WIDTH)) + seed * 0.01
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


def main() -> None:
    (m1, s1), (m2, s2) = gaussian(0), gaussian(1)
    frechet_distance(m1[:64], s1[:64, :64], m2[:64], s2[:64, :64])  # load torch
    began = time.perf_counter()
    ours = frechet_distance(m1, s1, m2, s2)
    middle = time.perf_counter()
    theirs = ((m1 - m2) ** 2).sum() + np.trace(s1 + s2) - 2 * np.trace(sqrtm(s1 @ s2).real)
    end = time.perf_counter()
    print(f"eigenvalues {middle - began:.2f} s, sqrtm {end - middle:.2f} s, ", end="")
    print(f"ratio {(middle - began) / (end - middle):.3f} (0.5)")
    print(f"relative difference {abs(ours - theirs) / theirs:.1e} (1e-4)")


if __name__ == "__main__":
    main()
