"""A recurrent network that writes text, with the recipe's fusion on its states.

Source: Vinyals et al., Show and Tell, 2015 (arXiv 1411.4555), with gated recurrent units (Cho et
al. 2014) and the image joined to every state, as in Mao et al., m-RNN, 2015 (arXiv 1412.6632).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.decoders.fused import Decoded, FusedStates, MakeFusion, portions
from mmbench.zoo.decoders.text import WordDecoder
from mmbench.zoo.fusion.base import Fused
from mmbench.zoo.precision import in_float32
from mmbench.zoo.stream import Contexts, State
from mmbench.zoo.words import Words


class RNNDecoder(WordDecoder):
    """Stacked gated recurrent units over the words so far.

    Args:
        dim: width D.
        vocabulary: of the task.
        fusion: makes the recipe's fusion; None writes without looking at any context.
        layers: stacked recurrent layers.
        fusion_at: "last" fuses the states of the last layer; "every" those of each layer.
    """

    added_with = {"layers": 2, "fusion_at": "last"}

    def __init__(
        self,
        dim: int,
        vocabulary: Words,
        fusion: MakeFusion,
        layers: int = 2,
        fusion_at: Literal["last", "every"] = "last",
    ) -> None:
        super().__init__(vocabulary)
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        self.words = nn.Embedding(self.end + 1, dim)
        nn.init.normal_(self.words.weight, std=dim**-0.5)
        self.cells = nn.ModuleList([nn.GRU(dim, dim, batch_first=True) for _ in range(layers)])
        fused = [
            fusion is not None and (fusion_at == "every" or layer == layers - 1)
            for layer in range(layers)
        ]
        self.fused = nn.ModuleList(
            [
                FusedStates(dim, fusion, causal=True) if there and fusion else nn.Identity()
                for there in fused
            ]
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, words: Tensor, contexts: Contexts) -> Decoded:
        x = self.words(words)
        calls: list[Fused] = []
        for cell, joined in zip(self.cells, self.fused, strict=True):
            with in_float32(x.device):
                x, _ = cell(x.float())
            if isinstance(joined, FusedStates):
                x, call = joined(x, contexts)
                calls.append(call)
        return self._decoded(x, calls)

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """Zero states (B, D) of each layer, then what the fusions keep."""
        dim = self.words.embedding_dim
        hidden = [torch.zeros(batch, dim, device=device) for _ in self.cells]
        return hidden + [s for f in self._fusions() for s in f.begin(batch, device, contexts)]

    def step(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Decoded, State]:
        count = len(self.cells)
        kept = iter(portions(state[count:], len(self._fusions())))
        x = self.words(words[:, None])
        calls: list[Fused] = []
        hidden: State = []
        fusions: State = []
        for cell, joined, before in zip(self.cells, self.fused, state[:count], strict=True):
            with in_float32(x.device):
                x, after = cell(x.float(), before[None].contiguous())
            hidden.append(after[0])
            if isinstance(joined, FusedStates):
                x, call, new = joined.step(x, next(kept), contexts)
                calls.append(call)
                fusions += new
        return self._decoded(x[:, -1], calls), hidden + fusions

    def _fusions(self) -> list[FusedStates]:
        return [joined for joined in self.fused if isinstance(joined, FusedStates)]

    def _decoded(self, x: Tensor, calls: list[Fused]) -> Decoded:
        return Decoded.of(functional.linear(self.norm(x), self.words.weight), calls)
