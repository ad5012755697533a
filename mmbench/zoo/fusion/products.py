"""Products of modalities' projections: what the bilinear fusions have in common.

A bilinear fusion approximates the outer product of its modalities by sums of products of linear
projections. Such a sum is of M factors as well as of two, so that each of them is defined for any
number of modalities: where the paper writes two factors there are M.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import mul
from typing import Any

import torch
from torch import Tensor


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
    """sign(z) sqrt|z| at length 1 along the last dimension: sign(z) sqrt(|z| / sum |z|).

    What leads to z belongs in float32: the root is so steep near 0 that where z is known to three
    digits alone, as in bfloat16, its gradient points elsewhere.

    Source: Perronnin et al., Improving the Fisher Kernel, ECCV 2010, sec. 3; in bilinear pooling,
    where products make a few entries large, since Lin et al., 2015 (arXiv 1504.07889).
    """
    share = z / z.abs().sum(-1, keepdim=True).clamp(min=1e-12)
    return _SignedRoot.apply(share)


class _SignedRoot(torch.autograd.Function):
    """sign(x) sqrt|x| of shares that add up to 1, with a slope that has an end.

    The slope, 1 / (2 sqrt|x|), is infinite at 0, and of a batch of thousands of numbers the two or
    three nearest to 0 would make up the gradient. It stays where it is at a hundredth of the mean.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        root = x.abs().sqrt().copysign(x)
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (root,) = ctx.saved_tensors
        return gradient / (2 * root.abs()).clamp(min=2 * math.sqrt(0.01 / root.shape[-1]))
