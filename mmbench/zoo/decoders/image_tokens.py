"""Image tokens: a Transformer writes the codes of an image, square by square.

Source: Ramesh et al., Zero-Shot Text-to-Image Generation (DALL-E), 2021 (arXiv 2102.12092); Yu et
al., Parti, 2022 (arXiv 2206.10789); the codes of one place, one after the other, by a small network
of their own: Lee et al., RQ-Transformer, 2022 (arXiv 2203.01941), sec. 3.2. Here a place is a
square of several patches, since few steps of the Transformer are cheaper than many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.computing import summed_up
from mmbench.zoo.decoders.autoencoder import GROUND, AutoencoderSettings
from mmbench.zoo.decoders.fused import MakeFusion, mean_losses
from mmbench.zoo.decoders.image import ImageDecoder, Sampling, guided, with_and_without
from mmbench.zoo.decoders.transformer import begin_stack, make_stack, run_stack, step_stack
from mmbench.zoo.stream import Contexts


class CodeHead(nn.Module):
    """Logits of one code, from its place's state and the codes before it.

    Args:
        dim: width D.
        entries: of the codebook, K.
    Shape: (..., D) -> (..., K).
    """

    def __init__(self, dim: int, entries: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )
        self.out = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, entries))

    def forward(self, x: Tensor) -> Tensor:
        """(B, ..., D) -> (B, ..., codes)."""
        return self.out(x + self.hidden(x))


class PlaceWriter(nn.Module):
    """Writes the codes of one place one after the other, each knowing those before it.

    Args:
        dim: width D.
        codes: of a place, C.
        entries: what each is one of, K.
    """

    def __init__(self, dim: int, codes: int, entries: int) -> None:
        super().__init__()
        self.vectors = nn.ModuleList([nn.Embedding(entries, dim) for _ in range(codes)])
        for weight in self.vectors.parameters():
            nn.init.normal_(weight, std=0.02)
        self.heads = nn.ModuleList([CodeHead(dim, entries) for _ in range(codes)])

    def __len__(self) -> int:
        return len(self.heads)

    def read(self, codes: Tensor) -> Tensor:
        """The vectors (..., D) of places with these codes (..., C)."""
        parts = [embed(codes[..., number]) for number, embed in enumerate(self.vectors)]
        return torch.stack(parts).sum(0)

    def loss(self, states: Tensor, codes: Tensor) -> Tensor:
        """Summed cross-entropy of codes (..., C), given the states (..., D) of their places."""
        total = states.new_zeros((), dtype=torch.float32)
        for number, (head, embed) in enumerate(zip(self.heads, self.vectors, strict=True)):
            code = codes[..., number]
            logits = head(states).flatten(0, -2).float()
            total = total + functional.cross_entropy(logits, code.flatten(), reduction="sum")
            states = states + embed(code)
        return total

    def draw(self, states: Tensor, uniform: Tensor, sampling: Sampling) -> Tensor:
        """Codes (B, C), drawn.

        Args:
            states: (B, D); or (2 B, D), the latter half those of no prompt.
            uniform: (B, C), where each draw falls.
            sampling: how.
        """
        copies = len(states) // len(uniform)
        drawn: list[Tensor] = []
        for number, (head, embed) in enumerate(zip(self.heads, self.vectors, strict=True)):
            logits = head(states)
            logits = guided(logits, sampling.guidance) if copies == 2 else logits
            drawn.append(draw_code(logits.float(), uniform[:, number], sampling))
            states = states + embed(drawn[-1].repeat(copies))
        return torch.stack(drawn, 1)


class ImageTokens(ImageDecoder):
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
        super().__init__(size, autoencoder, True, square, unprompted)
        self.ground = PlaceWriter(dim, *GROUND)
        self.patches = PlaceWriter(dim, square**2 * autoencoder.codes, autoencoder.codebook)
        self.start = nn.Parameter(torch.randn(dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(1 + self.squares, dim) * 0.02)
        self.blocks, self.fused = make_stack(dim, layers, heads, fusion, fusion_at)

    def loss(self, found: Tensor, contexts: Contexts) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Mean cross-entropy of a code, of codes (B, 3 + G*G*C); see `ImageDecoder.loss`."""
        ground, squares = self._parted(found)
        start = self.start.expand(len(found), 1, -1)
        before = [start, self.ground.read(ground)[:, None], self.patches.read(squares[:, :-1])]
        inputs = torch.cat(before, 1) + self.positions
        contexts = self.dropped(contexts, len(found))
        states, calls = run_stack((self.blocks, self.fused), inputs, contexts)
        total = self.ground.loss(states[:, 0], ground) + self.patches.loss(states[:, 1:], squares)
        return total / found.numel(), mean_losses(calls)

    def draw(self, contexts: Contexts, seeds: Sequence[int], sampling: Sampling) -> Tensor:
        """Codes (B, 3 + G*G*C); see `ImageDecoder.draw`."""
        copies = 1 if sampling.guidance == 1 else 2
        contexts = with_and_without(contexts) if copies == 2 else contexts
        count = len(self.ground) + self.squares * len(self.patches)
        uniform = _uniform(seeds, count).to(self.start.device)
        inputs = self.start.detach().expand(copies * len(seeds), 1, -1)
        stack = (self.blocks, self.fused)
        state = begin_stack(stack, inputs, contexts)
        written: list[Tensor] = []
        for place in range(1 + self.squares):
            here = inputs + self.positions[place]
            states, _, state = step_stack(stack, here, state, contexts)
            writer = self.patches if place else self.ground
            draws, uniform = uniform[:, : len(writer)], uniform[:, len(writer) :]
            written.append(writer.draw(states[:, 0], draws, sampling))
            inputs = writer.read(written[-1].repeat(copies, 1))[:, None]
        patches = self.by_patch(torch.stack(written[1:], 1))
        return torch.cat([written[0], patches.flatten(1)], 1)

    def _parted(self, found: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of the ground (B, 3), and of each square (B, squares, codes of a square)."""
        ground, codes = found.tensor_split([len(self.ground)], 1)
        patches = codes.unflatten(1, (self.squares * self._square**2, -1))
        return ground, self.by_square(patches)


def draw_code(logits: Tensor, uniform: Tensor, sampling: Sampling) -> Tensor:
    """A code (B,) of logits (B, K), by the place where a uniform number (B,) falls."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    reached = summed_up((logits / sampling.temperature).softmax(-1))
    return (reached < uniform[:, None] * reached[:, -1:]).sum(-1).clamp(max=logits.shape[-1] - 1)


def _uniform(seeds: Sequence[int], count: int) -> Tensor:
    """Uniform numbers (B, count), of each row by its own seed."""
    rows = [torch.rand(count, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows)
