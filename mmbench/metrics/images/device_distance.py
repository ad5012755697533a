"""The Frechet distance of weighted rows on a device, in float64: `distance.py`'s steps, in torch.

A replicate costs an eigendecomposition; of 2,048 features a GPU makes one while few cores are at
the first part of theirs. Not all devices have float64: see `mmbench.computing.float64_gpu`.

Equal to numpy's to 1e-9; where covariances are singular, whose zeros both of them only find to
1e-16 before they take a root, to 1e-7.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmbench.metrics.base import FloatArray
from mmbench.metrics.images.moments import as_features


class FrechetOnDevice:
    """`frechet_from_features` of two sets that stay on a device, while weights change.

    Args:
        real: (N, D); generated: (M, D).
        device: that has float64.
    """

    def __init__(self, real: FloatArray, generated: FloatArray, device: torch.device) -> None:
        self._real = torch.from_numpy(as_features(real)).to(device)
        self._generated = torch.from_numpy(as_features(generated)).to(device)

    def __call__(self, real_weights: FloatArray, generated_weights: FloatArray) -> float:
        """The distance where each row counts so often, (N,) and (M,); two rows of each at least."""
        with torch.inference_mode():
            mean1, deviations1 = _weighted(self._real, real_weights)
            mean2, deviations2 = _weighted(self._generated, generated_weights)
            if 2 * max(len(deviations1), len(deviations2)) > self._real.shape[1]:
                root = _trace_of_root(deviations1.T @ deviations1, deviations2.T @ deviations2)
            else:  # far fewer rows than features: see distance.py
                root = torch.linalg.svdvals(deviations1 @ deviations2.T).sum()
            spread = (deviations1**2).sum() + (deviations2**2).sum()
            distance = ((mean1 - mean2) ** 2).sum() + spread - 2 * root
            return max(distance.item(), 0.0)


def _trace_of_root(s1: Tensor, s2: Tensor) -> Tensor:
    """tr sqrtm(S1 S2), of symmetric (D, D)."""
    factor, failed = torch.linalg.cholesky_ex(s1)
    if failed.item():  # singular: the eigenvectors that its images span
        values, vectors = torch.linalg.eigh(s1)
        spanned = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
        factor = vectors[:, spanned] * values[spanned].sqrt()
    if factor.shape[1] == 0:
        return s1.new_zeros(())
    return torch.linalg.eigvalsh(factor.T @ s2 @ factor).clamp(min=0).sqrt().sum()


def _weighted(rows: Tensor, weights: FloatArray) -> tuple[Tensor, Tensor]:
    """Mean (D,), and deviations (N', D) whose A'A is the unbiased covariance."""
    drawn = torch.from_numpy(weights.astype("float64")).to(rows.device)
    rows, drawn = rows[drawn > 0], drawn[drawn > 0]
    count = drawn.sum()
    mean = drawn @ rows / count
    return mean, (rows - mean) * (drawn / (count - 1)).sqrt()[:, None]
