"""A gated PixelCNN over the codes of an image: convolutions that see what was written before.

Source: van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016 (arXiv
1606.05328), eq. 2 and fig. 2: a vertical stack of the rows above and a horizontal one of what is
to the left, so that there is no blind spot; over the codes of an autoencoder as in VQ-VAE (van den
Oord et al., 2017, arXiv 1711.00937, sec. 3.3). There a label is added to every layer (eq. 4); here
the recipe's fusion joins the prompt in. Norms before the layers are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.decoders.autoencoder import AutoencoderSettings
from mmbench.zoo.decoders.codes import CodeDecoder
from mmbench.zoo.decoders.fused import FusedStates, MakeFusion, fused_beside, mean_losses
from mmbench.zoo.decoders.image import Sampling
from mmbench.zoo.fusion.base import Fused
from mmbench.zoo.stream import Contexts, State


class GatedLayer(nn.Module):
    """v + gate(V v), h + W gate(H h + U V v), with gate([a; b]) = tanh(a) * sigmoid(b).

    V sees its own row and the one above, H its own column and the one to the left, of maps that
    were shifted once: so v knows the rows above alone, and h also what is to the left.

    Args:
        dim: width D.
    Shape: v, h (B, G, G, D) -> the same.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.above_norm, self.left_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.above = nn.Conv2d(dim, 2 * dim, (2, 3))
        self.left = nn.Conv2d(dim, 2 * dim, (1, 2))
        self.across = nn.Linear(2 * dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        above = _convolved(self.above, self.above_norm(v), (1, 1, 1, 0))
        left = _convolved(self.left, self.left_norm(h), (1, 0, 0, 0))
        return v + _gate(above), h + self.out(_gate(left + self.across(above)))


def _convolved(convolution: nn.Module, x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """A convolution of maps (B, G, G, D), padded left, right, above and below."""
    found: Tensor = convolution(functional.pad(x.movedim(-1, 1), padding))
    return found.movedim(1, -1)


def _gate(x: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return a.tanh() * b.sigmoid()


class CNNDecoder(CodeDecoder):
    """A quantised autoencoder, and a gated PixelCNN over its codes, square by square.

    Args:
        dim: width D.
        fusion: makes the recipe's fusion, applied in each layer; None looks at no context.
        autoencoder: its sizes.
        size: pixels a side.
        layers: of the PixelCNN; each sees a square farther.
        square: patches a side that are one position, written code by code.
        unprompted: share of the training samples whose contexts are left out.
    """

    usual = Sampling(guidance=1.75, temperature=0.7)  # type: ignore[call-arg]
    version = 2  # 1 was a flow, which is the decoder `flow` now
    added_with = {"size": 32, "layers": 3, "square": 2, "unprompted": 0.1}

    def __init__(
        self,
        dim: int,
        fusion: MakeFusion,
        autoencoder: AutoencoderSettings,
        size: int = 32,
        layers: int = 3,
        square: int = 2,
        unprompted: float = 0.1,
    ) -> None:
        super().__init__(dim, autoencoder, size, square, unprompted)
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        self.start = nn.Parameter(torch.randn(dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(self._side, self._side, dim) * 0.02)
        self.layers = nn.ModuleList([GatedLayer(dim) for _ in range(layers)])
        self.fused = fused_beside(layers, dim, fusion, causal=True)

    def loss(self, found: Tensor, contexts: Contexts) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Mean cross-entropy of a code, of codes (B, 3 + G*G*C); see `ImageDecoder.loss`."""
        ground, squares = self.parted(found)
        contexts = self.dropped(contexts, len(found))
        states, calls = self(self.ground.read(ground), self.patches.read(squares), contexts)
        return self.code_loss(states, found), mean_losses(calls)

    def forward(
        self, ground: Tensor, squares: Tensor, contexts: Contexts
    ) -> tuple[Tensor, list[Fused]]:
        """The states (B, 1 + squares, D) that the ground and the squares are written from.

        Args:
            ground, squares: vectors (B, D) and (B, squares, D) of the codes; no state depends on
                its own place or a later one.
            contexts: streams (B, N, D), or None.
        Returns: and what the calls of the fusion gave.
        """
        plane = squares.unflatten(1, (self._side, self._side))
        known = self.positions + ground[:, None, None]
        v = known + functional.pad(plane[:, :-1], (0, 0, 0, 0, 1, 0))  # the row above
        h = known + functional.pad(plane[:, :, :-1], (0, 0, 1, 0))  # the column to the left
        first = self.start.expand(len(squares), 1, -1)
        calls: list[Fused] = []
        layer: Any
        for layer, fused in zip(self.layers, self.fused, strict=True):
            v, h = layer(v, h)
            if isinstance(fused, FusedStates):
                states, call = fused(torch.cat([first, h.flatten(1, 2)], 1), contexts)
                first, h = states[:, :1], states[:, 1:].view_as(h)
                calls.append(call)
        return torch.cat([first, h.flatten(1, 2)], 1), calls

    def begin(self, rows: int, contexts: Contexts) -> tuple[Tensor, State]:
        """The state is the vectors of what is written: of the ground and of squares."""
        none = self.start.new_zeros(rows, 1 + self.squares, len(self.start))
        return none[:, :1], [none]

    def step(
        self, inputs: Tensor, place: int, state: State, contexts: Contexts
    ) -> tuple[Tensor, State]:
        (written,) = state
        if place:
            written = written.clone()
            written[:, place - 1] = inputs[:, 0]
        states, _ = self(written[:, 0], written[:, 1:], contexts)
        return states[:, place : place + 1], [written]
