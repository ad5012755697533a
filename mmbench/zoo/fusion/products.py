"""Products of modalities' projections: what the bilinear fusions have in common.

A bilinear fusion approximates the outer product of its modalities by sums of products of linear
projections. Such a sum is of M factors as well as of two, so that each of them is defined for any
number of modalities: where the paper writes two factors there are M.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import mul

import torch
from torch import Tensor
from torch.nn import functional

_ROOT_FROM = 1e-8  # below it the signed root is a straight line: its slope at 0 would be infinite


def product(factors: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
    """prod_i f_i, where a missing context counts as ones.

    Args:
        factors: (B, T, ...) of the query, then (B, 1, ...) of each context.
        present: (B, T), then (B, 1) of each context, bool.
    Returns: (B, T, ...).
    """
    query, *contexts = factors
    for place, (x, there) in enumerate(zip(contexts, present[1:], strict=True)):
        contexts[place] = x.where(there.reshape(there.shape + (1,) * (x.ndim - 2)), 1.0)
    return query * reduce(mul, contexts)  # the contexts first: they have one position


def sum_of_products(factors: Sequence[Tensor], present: Sequence[Tensor], terms: int) -> Tensor:
    """sum_r prod_i f_i^r, of factors (..., R * D) that hold their R terms one after the other.

    Args:
        factors: (B, T, ..., R * D) of the query, then (B, 1, ..., R * D) of each context.
        present: (B, T), then (B, 1) of each context, bool; a missing one counts as ones.
        terms: R.
    Returns: (B, T, ..., D).
    """
    return product([x.unflatten(-1, (terms, -1)) for x in factors], present).sum(-2)


def power_normalised(z: Tensor) -> Tensor:
    """sign(z) sqrt|z|, of length 1 along the last dimension; in float32.

    Source: Perronnin et al., Improving the Fisher Kernel, ECCV 2010, sec. 3; in bilinear pooling,
    where products make a few entries large, since Lin et al., 2015 (arXiv 1504.07889).
    """
    z = z.float()
    return functional.normalize(z * torch.rsqrt(z.abs() + _ROOT_FROM), dim=-1, eps=1e-6)
