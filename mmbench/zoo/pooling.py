"""How the tokens of a stream become one vector: the `pooling` of an encoder in a recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mmbench.zoo.stream import Stream

Kind = Literal["mean", "first", "last", "attention"]


class Pooling(nn.Module, ABC):
    """A stream (B, N, D) -> (B, D); zeros where no token is there.

    Attributes:
        kind: its name in a recipe.
        commutes: whether a linear layer may as well be applied after it as before.
    """

    kind: ClassVar[Kind]
    commutes: ClassVar[bool] = True

    @abstractmethod
    def forward(self, stream: Stream) -> Tensor:
        """The vectors (B, D)."""


class MeanPooling(Pooling):
    """The mean of the tokens that are there."""

    kind = "mean"

    def forward(self, stream: Stream) -> Tensor:
        return stream.pool()


class FirstPooling(Pooling):
    """The first token that is there, such as the [CLS] of BERT (Devlin et al. 2019)."""

    kind = "first"

    def forward(self, stream: Stream) -> Tensor:
        first = stream.mask.int().argmax(1)
        found = stream.tokens[torch.arange(len(first), device=first.device), first]
        return found.masked_fill(~stream.present[:, None], 0)


class LastPooling(Pooling):
    """The last token that is there, such as the end of a text in GPT (Radford et al. 2018)."""

    kind = "last"

    def forward(self, stream: Stream) -> Tensor:
        places = torch.arange(stream.mask.shape[1], device=stream.mask.device)
        last = (stream.mask * places).argmax(1)
        found = stream.tokens[torch.arange(len(last), device=last.device), last]
        return found.masked_fill(~stream.present[:, None], 0)


class AttentionPooling(Pooling):
    """A weighted mean: w_i = softmax_i of v^T tanh(W x_i).

    Source: Yang et al., Hierarchical Attention Networks, NAACL 2016, eq. 5-7.

    Args:
        dim: width D.
    """

    kind = "attention"
    commutes = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))

    def forward(self, stream: Stream) -> Tensor:
        tokens = stream.clean()
        scores = self.score(tokens)[..., 0]
        scores = scores.masked_fill(~stream.mask, torch.finfo(scores.dtype).min)
        return (scores.softmax(1) * stream.mask)[:, None].matmul(tokens)[:, 0]


def make_pooling(kind: Kind, dim: int) -> Pooling:
    """The pooling of this kind for streams of width `dim`."""
    if kind == "attention":
        return AttentionPooling(dim)
    if kind == "last":
        return LastPooling()
    return {"mean": MeanPooling, "first": FirstPooling}[kind]()
