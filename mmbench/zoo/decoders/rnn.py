"""A recurrent network that writes text, with the recipe's fusion on its states.

Source: Vinyals et al., Show and Tell, 2015 (arXiv 1411.4555), with gated recurrent units (Cho et
al. 2014) and the image joined to every state, as in Mao et al., m-RNN, 2015 (arXiv 1412.6632).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.decoders.text import Contexts, FusedStates, State, TextDecoder
from mmbench.zoo.fusion.base import Fusion
from mmbench.zoo.precision import in_float32


class RNNDecoder(TextDecoder):
    """Stacked gated recurrent units over the words so far.

    Args:
        dim: width D.
        vocabulary: V, how many words it knows.
        fusion: makes the recipe's fusion; None writes without looking at any context.
        layers: stacked recurrent layers.
        fusion_at: "last" fuses the states of the last layer; "every" those of each layer.
    """

    added_with = {"layers": 2, "fusion_at": "last"}

    def __init__(
        self,
        dim: int,
        vocabulary: int,
        fusion: Callable[[], Fusion] | None,
        layers: int = 2,
        fusion_at: Literal["last", "every"] = "last",
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        self.words = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.words.weight, std=dim**-0.5)
        self.cells = nn.ModuleList([nn.GRU(dim, dim, batch_first=True) for _ in range(layers)])
        fused = [
            fusion is not None and (fusion_at == "every" or layer == layers - 1)
            for layer in range(layers)
        ]
        self.fused = nn.ModuleList(
            [FusedStates(dim, fusion) if there and fusion else nn.Identity() for there in fused]
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, words: Tensor, contexts: Contexts) -> Tensor:
        """See `TextDecoder.forward`."""
        return self._run(words, self.begin(len(words), words.device), contexts)[0]

    def begin(self, batch: int, device: torch.device) -> State:
        """Zero states (B, D) of each layer."""
        dim = self.words.embedding_dim
        return [torch.zeros(batch, dim, device=device) for _ in self.cells]

    def step(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Tensor, State]:
        """See `TextDecoder.step`."""
        logits, state = self._run(words[:, None], state, contexts)
        return logits[:, -1], state

    def _run(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Tensor, State]:
        x = self.words(words)
        new: State = []
        for cell, fused, before in zip(self.cells, self.fused, state, strict=True):
            with in_float32(x.device):
                x, after = cell(x.float(), before[None].contiguous())
            new.append(after[0])
            x = fused(x, contexts) if isinstance(fused, FusedStates) else x
        return functional.linear(self.norm(x), self.words.weight), new
