"""A recurrent text encoder.

Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014
(arXiv 1406.1078); the question encoder of Kazemi and Elqursh 2017 and many VQA models.
"""

from __future__ import annotations

from torch import Tensor, nn

from mmbench.zoo.encoders.base import WordEncoder, mask_of
from mmbench.zoo.precision import in_float32
from mmbench.zoo.stream import Stream
from mmbench.zoo.words import Words


class GRU(WordEncoder):
    """Word vectors through a gated recurrent unit, left to right; its states are the tokens.

    Args:
        dim: width D of the tokens.
        vocabulary: of the task.
        layers: stacked recurrent layers.
    Shape: (B, L) int64 -> (B, L, D). What is masked comes last: no state before depends on it.
    """

    causal = True
    added_with = {"layers": 1}

    def __init__(self, dim: int, vocabulary: Words, layers: int = 1) -> None:
        super().__init__(vocabulary)
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        self.dim = dim
        self.words = nn.Embedding(len(vocabulary), dim)
        self.states = nn.GRU(dim, dim, num_layers=layers, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        with in_float32(x.device):  # a recurrence in bfloat16 loses what it is to remember
            states, _ = self.states(self.words(x))
        return Stream(states, mask_of(x, mask))
