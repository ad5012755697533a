"""What decoders share that write the codes of an image: the ground first, then square by square.

Source: the codes of one place, one after the other, by a small network of their own: Lee et al.,
RQ-Transformer, 2022 (arXiv 2203.01941), sec. 3.2. Here a place is a square of several patches,
since few steps of a Transformer are cheaper than many.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.computing import summed_up
from mmbench.zoo.decoders.autoencoder import GROUND, AutoencoderSettings
from mmbench.zoo.decoders.image import ImageDecoder, Sampling, guided, with_and_without
from mmbench.zoo.stream import Contexts, State


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


class CodeDecoder(ImageDecoder):
    """A decoder that writes an image's codes place by place: its ground, then each square.

    A subclass says how a place's state comes from what was written before it (`begin`, `step`).

    Args:
        dim: width D.
        autoencoder: its sizes; it is quantised.
        size: pixels a side.
        square: patches a side that are one place, written code by code.
        unprompted: share of the training samples whose contexts are left out.
    """

    def __init__(
        self, dim: int, autoencoder: AutoencoderSettings, size: int, square: int, unprompted: float
    ) -> None:
        super().__init__(size, autoencoder, True, square, unprompted)
        self.ground = PlaceWriter(dim, *GROUND)
        self.patches = PlaceWriter(dim, square**2 * autoencoder.codes, autoencoder.codebook)

    @abstractmethod
    def begin(self, rows: int, contexts: Contexts) -> tuple[Tensor, State]:
        """The input (rows, 1, D) of the first place, and the state before it."""

    @abstractmethod
    def step(
        self, inputs: Tensor, place: int, state: State, contexts: Contexts
    ) -> tuple[Tensor, State]:
        """The state (rows, 1, D) that a place is written from, and what is kept after it.

        Args:
            inputs: (rows, 1, D): `begin`'s, or the vector of the place before.
            place: its number; 0 is the ground.
            state, contexts: what is kept, and those of `begin`.
        """

    def places_before(self, start: Tensor, found: Tensor) -> Tensor:
        """The input of every place (B, 1 + squares, D): the start, then the place before it."""
        ground, squares = self.parted(found)
        start = start.expand(len(found), 1, -1)
        before = [start, self.ground.read(ground)[:, None], self.patches.read(squares[:, :-1])]
        return torch.cat(before, 1)

    def code_loss(self, states: Tensor, found: Tensor) -> Tensor:
        """Mean cross-entropy of a code of `found`, by the states (B, 1 + squares, D) of places."""
        ground, squares = self.parted(found)
        total = self.ground.loss(states[:, 0], ground) + self.patches.loss(states[:, 1:], squares)
        return total / found.numel()

    def draw(self, contexts: Contexts, seeds: Sequence[int], sampling: Sampling) -> Tensor:
        """Codes (B, 3 + G*G*C); see `ImageDecoder.draw`."""
        copies = 1 if sampling.guidance == 1 else 2
        contexts = with_and_without(contexts) if copies == 2 else contexts
        inputs, state = self.begin(copies * len(seeds), contexts)
        count = len(self.ground) + self.squares * len(self.patches)
        uniform = _uniform(seeds, count).to(inputs.device)
        written: list[Tensor] = []
        for place in range(1 + self.squares):
            states, state = self.step(inputs, place, state, contexts)
            writer = self.patches if place else self.ground
            draws, uniform = uniform[:, : len(writer)], uniform[:, len(writer) :]
            written.append(writer.draw(states[:, 0], draws, sampling))
            inputs = writer.read(written[-1].repeat(copies, 1))[:, None]
        patches = self.by_patch(torch.stack(written[1:], 1))
        return torch.cat([written[0], patches.flatten(1)], 1)

    def parted(self, found: Tensor) -> tuple[Tensor, Tensor]:
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
