"""Image tokens: a Transformer writes the codes of an image, square by square.

Source: Ramesh et al., Zero-Shot Text-to-Image Generation (DALL-E), 2021 (arXiv 2102.12092); Yu et
al., Parti, 2022 (arXiv 2206.10789). The text is joined in by the recipe's fusion; with a text
encoder and `cross_attention` this is Parti, and DALL-E's one stream of text and image is `dalle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from mmbench.zoo.decoders.autoencoder import AutoencoderSettings
from mmbench.zoo.decoders.codes import CodeDecoder
from mmbench.zoo.decoders.fused import MakeFusion, mean_losses
from mmbench.zoo.decoders.image import Sampling
from mmbench.zoo.decoders.transformer import begin_stack, make_stack, run_stack, step_stack
from mmbench.zoo.stream import Contexts, State


class ImageTokens(CodeDecoder):
    """A quantised autoencoder, and an autoregressive Transformer over its codes.

    It writes the ground of an image first, then square by square, each a few patches a side.

    Args:
        dim: width D.
        fusion: makes the recipe's fusion; None draws without looking at any context.
        autoencoder: its sizes.
        size: pixels a side.
        layers: blocks of the Transformer.
        heads: of their attention.
        square: patches a side that the Transformer writes in one step, code by code.
        fusion_at: "last" fuses once after the blocks; "every" in each block instead.
        unprompted: share of the training samples whose contexts are left out.
    """

    usual = Sampling(guidance=1.75, temperature=0.7)  # type: ignore[call-arg]

    added_with = {
        "size": 32,
        "layers": 4,
        "heads": 4,
        "square": 2,
        "fusion_at": "every",
        "unprompted": 0.1,
    }

    def __init__(
        self,
        dim: int,
        fusion: MakeFusion,
        autoencoder: AutoencoderSettings,
        size: int = 32,
        layers: int = 4,
        heads: int = 4,
        square: int = 2,
        fusion_at: Literal["last", "every"] = "every",
        unprompted: float = 0.1,
    ) -> None:
        super().__init__(dim, autoencoder, size, square, unprompted)
        self.start = nn.Parameter(torch.randn(dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(1 + self.squares, dim) * 0.02)
        self.blocks, self.fused = make_stack(dim, layers, heads, fusion, fusion_at)

    def loss(self, found: Tensor, contexts: Contexts) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Mean cross-entropy of a code, of codes (B, 3 + G*G*C); see `ImageDecoder.loss`."""
        inputs = self.places_before(self.start, found) + self.positions
        contexts = self.dropped(contexts, len(found))
        states, calls = run_stack((self.blocks, self.fused), inputs, contexts)
        return self.code_loss(states, found), mean_losses(calls)

    def begin(self, rows: int, contexts: Contexts) -> tuple[Tensor, State]:
        inputs = self.start.detach().expand(rows, 1, -1)
        return inputs, begin_stack((self.blocks, self.fused), inputs, contexts)

    def step(
        self, inputs: Tensor, place: int, state: State, contexts: Contexts
    ) -> tuple[Tensor, State]:
        here = inputs + self.positions[place]
        states, _, state = step_stack((self.blocks, self.fused), here, state, contexts)
        return states, state
