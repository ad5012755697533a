"""Tensor fusion (TFN): the outer product of all modalities, with every product of fewer in it.

Source: Zadeh et al., Tensor Fusion Network for Multimodal Sentiment Analysis, EMNLP 2017 (arXiv
1707.07250), its tensor fusion layer. As there, each modality is embedded first, in 32 features.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Stream


class TensorFusion(PooledFusion):
    """h = relu(W ([z_1; 1] x ... x [z_M; 1]) + b), with z_i = relu(W_i x_i + b_i).

    Here x is the outer product. The ones keep each modality by itself, and each product of some, in
    the tensor. It is never written out: W meets the contexts first, which have one position, and
    the query after them.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        size: of each z. W holds D (size + 1)^M numbers: 139,392 for two modalities at width 128,
            4.6 million for three.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context's z is zero, which leaves the products of the others.
    """

    added_with = {"size": 32}
    family = "tensor product"
    cost = Cost(
        parameters="M*(D + 1)*size + D*(size + 1)**M + D",
        operations="2*D*size*(T + M-1) + 2*D*(size + 1)**M + 2*D*(size + 1)*T",
    )

    def __init__(self, dim: int, contexts: Sequence[str], size: int = 32) -> None:
        super().__init__(dim, contexts)
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.embed = nn.ModuleList([nn.Linear(dim, size) for _ in self.modalities])
        self.mix = nn.Linear((size + 1) ** len(self.modalities), dim)

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        z = [
            functional.pad(layer(x).relu() * there[..., None], (0, 1), value=1.0)
            for layer, x, there in zip(self.embed, vectors, present, strict=True)
        ]
        query, joint, *others = z
        for other in others:
            joint = (joint[..., :, None] * other[..., None, :]).flatten(-2)  # (B, 1, (S + 1)^(M-1))
        by_query = self.mix.weight.unflatten(1, (query.shape[-1], -1))  # (D, S + 1, (S + 1)^(M-1))
        weight = joint.squeeze(1) @ by_query.flatten(0, 1).T  # (B, D * (S + 1))
        h = query @ weight.unflatten(-1, (self.dim, -1)).mT + self.mix.bias
        return Fused(Stream(h.relu(), present[0]))
