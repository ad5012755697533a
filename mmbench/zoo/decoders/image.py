"""The `ImageDecoder` contract: a decoder that draws images from what stands in its contexts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mmbench.yaml_file import Settings
from mmbench.zoo.decoders.autoencoder import Autoencoder, AutoencoderSettings
from mmbench.zoo.stream import Contexts, Stream


class Sampling(Settings):
    """How images are drawn.

    Attributes:
        guidance: how far the prompt's prediction is followed beyond that without a prompt
            (classifier-free guidance): 1 follows it as it is, 0 not at all.
        temperature: of what is drawn: of the codes' probabilities, or of the first noise.
        top_k: only the likeliest so many codes are drawn; 0 for all.
        steps: from noise to image, for a flow.
        candidates: images drawn for a prompt, of which the one that fits it best is the answer.
        ranked_by: what says how well an image fits: a retrieval checkpoint of images and texts, or
            one that is shipped, as `scenes/dual_encoder`.
    """

    guidance: float = Field(2.0, ge=0)
    temperature: float = Field(1.0, ge=0)
    top_k: int = Field(0, ge=0)
    steps: int = Field(24, ge=1)
    candidates: int = Field(1, ge=1)
    ranked_by: str | None = None

    @model_validator(mode="after")
    def _ranked(self) -> Sampling:
        if self.candidates > 1 and self.ranked_by is None:
            raise ValueError(
                f"candidates: {self.candidates} needs ranked_by, a retrieval checkpoint that "
                "chooses among them"
            )
        if self.candidates == 1 and self.ranked_by is not None:
            raise ValueError("ranked_by has no effect on 1 candidate: set candidates too")
        return self


class ImageDecoder(nn.Module, ABC):
    """Context streams -> images, drawn at random. It has two parts, trained one after the other.

    `autoencoder` makes images of what stands for them; the rest learns what stands for an image of
    given contexts. Contexts are left out in training now and then, as missing modalities, so that
    it also knows images without any: classifier-free guidance needs both.

    Source: Ho and Salimans, Classifier-Free Diffusion Guidance, 2022 (arXiv 2207.12598).

    Args:
        size: pixels a side, S.
        settings: of the autoencoder.
        quantised: whether codes stand for an image, or numbers.
        square: patches a side that the second part takes for one position.
        unprompted: share of the training samples whose contexts are left out.
    Attributes:
        usual: how it draws where a recipe does not say: what was best on validation of `scenes`.
        reads_tokens: whether it joins the contexts' tokens itself, in place of a fusion.
        predicts_words: whether it learns the prompt too, so that `loss` takes `words`, (B, L).
    """

    usual: ClassVar[Sampling] = Sampling()  # type: ignore[call-arg]
    reads_tokens: ClassVar[bool] = False
    predicts_words: ClassVar[bool] = False

    def __init__(
        self,
        size: int,
        settings: AutoencoderSettings,
        quantised: bool,
        square: int,
        unprompted: float,
    ) -> None:
        super().__init__()
        if square < 1 or settings.grid % square:
            raise ValueError(
                f"square must divide the autoencoder's grid {settings.grid}, got {square}"
            )
        self._square = square
        self._side = settings.grid // square
        self.squares = self._side**2
        if not 0 <= unprompted < 1:
            raise ValueError(f"unprompted must be at least 0 and below 1, got {unprompted}")
        self.unprompted = unprompted
        # The same at first whatever the seed: it is trained once for all runs of a comparison.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.autoencoder = Autoencoder(size, settings, quantised)
        self._settings = settings

    def own_stages(self) -> list[dict[str, Any]]:
        """The autoencoder is trained first, on the images alone."""
        settings = self._settings
        train = {"epochs": settings.epochs, "batch": settings.batch, "lr": settings.lr}
        return [
            {
                "name": "autoencoder",
                "objective": "autoencoder",
                "trains": ["autoencoder"],
                "train": train,
            }
        ]

    @abstractmethod
    def loss(self, found: Tensor, contexts: Contexts) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean loss of what the autoencoder found in images, and the fusion's own losses.

        Args:
            found: (B, ...); see the autoencoder's `encode`.
            contexts: streams (B, N, D), or None.
        """

    @abstractmethod
    def draw(self, contexts: Contexts, seeds: Sequence[int], sampling: Sampling) -> Tensor:
        """What stands for B images: what the autoencoder can decode.

        Args:
            contexts: streams (B, N, D), or None.
            seeds: (B,), of each image's draws, which depend on nothing else.
            sampling: how.
        """

    def by_square(self, found: Tensor) -> Tensor:
        """What stands for patches (B, G*G, C), by square: (B, squares, patches a square * C)."""
        side, square = self._side, self._square
        grid = found.view(len(found), side, square, side, square, -1)
        return grid.transpose(2, 3).reshape(len(found), self.squares, -1)

    def by_patch(self, found: Tensor) -> Tensor:
        """The inverse of `by_square`."""
        side, square = self._side, self._square
        grid = found.view(len(found), side, side, square, square, -1)
        return grid.transpose(2, 3).reshape(len(found), (side * square) ** 2, -1)

    def dropped(self, contexts: Contexts, batch: int) -> Contexts:
        """The contexts (B, N, D) without those of some samples, drawn at random."""
        found = next((context for context in contexts if context is not None), None)
        if found is None or not self.training:
            return contexts
        kept = torch.rand(batch, device=found.mask.device) >= self.unprompted
        return [
            None if context is None else Stream(context.tokens, context.mask & kept[:, None])
            for context in contexts
        ]


def with_and_without(contexts: Contexts) -> Contexts:
    """The streams (B, N, D) and then the same as missing, (2 B, N, D)."""
    return [
        None
        if context is None
        else Stream(
            torch.cat([context.tokens, context.tokens]),
            torch.cat([context.mask, torch.zeros_like(context.mask)]),
        )
        for context in contexts
    ]


def guided(both: Tensor, guidance: float) -> Tensor:
    """What to follow (B, ...), of predictions with and then without contexts (2 B, ...)."""
    prompted, unprompted = both.chunk(2)
    return unprompted + guidance * (prompted - unprompted)
