"""A label out of a fixed list.

Source: the answer classifier of Antol et al., VQA: Visual Question Answering, 2015
(arXiv 1505.00468), sec. 4.
"""

from __future__ import annotations

from torch import Tensor, nn

from mmbench.zoo.stream import Stream


class Classifier(nn.Module):
    """The stream, pooled, through a hidden layer to a logit per class.

    Args:
        dim: width D of the stream.
        classes: how many labels there are.
    Shape: (B, T, D) -> logits (B, classes).
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, classes)
        )

    def forward(self, stream: Stream) -> Tensor:
        """(B, N, D) -> (B, classes)."""
        return self.layers(stream.pool())
