"""A recurrent network that writes text, with the recipe's fusion on its states.

Source: Vinyals et al., Show and Tell, 2015 (arXiv 1411.4555), with gated recurrent units (Cho et
al. 2014) and the image joined to every state, as in Mao et al., m-RNN, 2015 (arXiv 1412.6632).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.decoders.attentive_gru import AttentiveGRU
from mmbench.zoo.decoders.fused import Decoded, FusedStates, MakeFusion, portions
from mmbench.zoo.decoders.text import WordDecoder
from mmbench.zoo.fusion.base import Fused
from mmbench.zoo.precision import in_float32
from mmbench.zoo.stream import Contexts, State, Stream
from mmbench.zoo.words import Words


class RNNDecoder(WordDecoder):
    """Stacked gated recurrent units over the words so far.

    Args:
        dim: width D.
        vocabulary: of the task.
        fusion: makes the recipe's fusion; None writes without looking at any context.
        layers: stacked recurrent layers.
        fusion_at: "last" fuses the states of the last layer; "every" those of each layer.
        attention: whether the first layer looks at the contexts' tokens anew before every word,
            besides the fusion of the states; see `AttentiveGRU`.

    Attributes:
        reads_tokens: whether it looks at the tokens of contexts itself, whatever the fusion reads.
    """

    added_with = {"layers": 2, "fusion_at": "last", "attention": False}

    def __init__(
        self,
        dim: int,
        vocabulary: Words,
        fusion: MakeFusion,
        layers: int = 2,
        fusion_at: Literal["last", "every"] = "last",
        attention: bool = False,
    ) -> None:
        super().__init__(vocabulary)
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        self.words = nn.Embedding(self.end + 1, dim)
        nn.init.normal_(self.words.weight, std=dim**-0.5)
        self.reads_tokens = attention
        self.cells = nn.ModuleList([nn.GRU(dim, dim, batch_first=True) for _ in range(layers)])
        if attention:
            self.cells[0] = AttentiveGRU(dim)
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
            x = self._states(cell, x, x.new_zeros(len(x), x.shape[2]), contexts)
            if isinstance(joined, FusedStates):
                x, call = joined(x, self._read_by(joined, contexts))
                calls.append(call)
        return self._decoded(x, calls)

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """Zero states (B, D) of each layer, then what the fusions keep."""
        dim = self.words.embedding_dim
        hidden = [torch.zeros(batch, dim, device=device) for _ in self.cells]
        fusions = ((f, self._read_by(f, contexts)) for f in self._fusions())
        return hidden + [s for f, given in fusions for s in f.begin(batch, device, given)]

    def step(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Decoded, State]:
        count = len(self.cells)
        kept = iter(portions(state[count:], len(self._fusions())))
        x = self.words(words[:, None])
        calls: list[Fused] = []
        hidden: State = []
        fusions: State = []
        for cell, joined, before in zip(self.cells, self.fused, state[:count], strict=True):
            x = self._states(cell, x, before, contexts)
            hidden.append(x[:, -1])
            if isinstance(joined, FusedStates):
                x, call, new = joined.step(x, next(kept), self._read_by(joined, contexts))
                calls.append(call)
                fusions += new
        return self._decoded(x[:, -1], calls), hidden + fusions

    def _states(self, cell: nn.Module, x: Tensor, before: Tensor, contexts: Contexts) -> Tensor:
        """A layer's states (B, T, D) of (B, T, D), after the state (B, D) before the first."""
        if isinstance(cell, AttentiveGRU):
            return cell(x, before, contexts)
        with in_float32(x.device):
            states, _ = cell(x.float(), before.float()[None].contiguous())
        return states

    def _read_by(self, joined: FusedStates, contexts: Contexts) -> Contexts:
        """The contexts in the form that a fusion reads: the attention had them as tokens."""
        if not self.reads_tokens or joined.fusion.context_form == "tokens":
            return contexts
        return [c and Stream(c.pool()[:, None], c.present[:, None]) for c in contexts]

    def _fusions(self) -> list[FusedStates]:
        return [joined for joined in self.fused if isinstance(joined, FusedStates)]

    def _decoded(self, x: Tensor, calls: list[Fused]) -> Decoded:
        return Decoded.of(functional.linear(self.norm(x), self.words.weight), calls)
