"""Multimodal compact bilinear pooling (MCB): the outer product, sketched and never written out.

Source: Fukui et al., Multimodal Compact Bilinear Pooling for Visual Question Answering and Visual
Grounding, EMNLP 2016 (arXiv 1606.01847), sec. 3.1 and alg. 1; the signed root and the norm after
it are of sec. 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.fusion.products import power_normalised, product
from mmbench.zoo.stream import Stream


class MCBFusion(PooledFusion):
    """h = W norm(FFT^-1(prod_i FFT(sketch_i(x_i)))) + c, norm(z) = sign(z) sqrt|z| at length 1.

    A count sketch adds s_j x_j to its place h_j, for each feature j. The convolution of sketches is
    the sketch of the outer product, of M vectors as of two. Places h and signs s of each modality
    are drawn once, the same in every run, and saved with the weights.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        size: of the sketch. The paper has 16,000 for vectors of 2,048; this is as many for 128.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    The sketch of a missing context is one at its first place, which convolves without effect.
    """

    added_with = {"size": 1024}
    family = "bilinear"
    cost = Cost(
        parameters="size*D + D",
        operations="2*size*D*T",
    )
    places: Tensor
    signs: Tensor

    def __init__(self, dim: int, contexts: Sequence[str], size: int = 1024) -> None:
        super().__init__(dim, contexts)
        if size < 2:
            raise ValueError(f"size must be at least 2, got {size}")
        self._size = size
        drawn, shape = torch.Generator().manual_seed(0), (len(self.modalities), dim)
        self.register_buffer("places", torch.randint(size, shape, generator=drawn))
        self.register_buffer("signs", torch.randint(2, shape, generator=drawn) * 2.0 - 1)
        self.out = nn.Linear(size, dim)

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        # In float64: a transform in float32 leaves 1e-8 where nothing was sketched, or more, as the
        # batch happens to be computed, and the root makes 1e-4 of it.
        sketches = [self._sketch(x.double(), i) for i, x in enumerate(vectors)]
        spectrum = product([torch.fft.rfft(x) for x in sketches], present)
        z = power_normalised(torch.fft.irfft(spectrum, n=self._size)).float()
        return Fused(Stream(self.out(z), present[0]))

    def _sketch(self, x: Tensor, modality: int) -> Tensor:
        """The count sketch of a modality's vectors, (..., D) -> (..., size)."""
        empty = x.new_zeros(*x.shape[:-1], self._size)
        return empty.index_add(-1, self.places[modality], x * self.signs[modality])
