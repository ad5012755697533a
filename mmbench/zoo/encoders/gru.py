"""A recurrent text encoder.

Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014
(arXiv 1406.1078); the question encoder of Kazemi and Elqursh 2017 and many VQA models.
"""

from __future__ import annotations

from torch import Tensor, nn

from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.precision import in_float32
from mmbench.zoo.stream import Stream


class GRU(Encoder):
    """Word vectors through a gated recurrent unit, left to right; its states are the tokens.

    Args:
        dim: width D of the tokens.
        vocabulary: how many token numbers there are; 0 is padding.
        layers: stacked recurrent layers.
    Shape: (B, L) int64 -> (B, L, D). Padding comes last, so no state before it depends on it.
    """

    modality = "text"

    added_with = {"layers": 1}

    def __init__(self, dim: int, vocabulary: int, layers: int = 1) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        self.dim = dim
        self.words = nn.Embedding(vocabulary, dim)
        self.states = nn.GRU(dim, dim, num_layers=layers, batch_first=True)

    def forward(self, x: Tensor) -> Stream:
        """See the class."""
        with in_float32(x.device):  # a recurrence in bfloat16 loses what it is to remember
            states, _ = self.states(self.words(x))
        return Stream(states, x != 0)
