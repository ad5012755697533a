"""Matching of images and texts: the fusion sees both, and says whether they belong together.

Source: Li et al., Align before Fuse (ALBEF), 2021 (arXiv 2107.07651), eq. 4 and sec. 3.2: a wrong
partner is drawn from the batch, the more often the more alike it is; Li et al., BLIP, 2022 (arXiv
2201.12086), sec. 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses, TaskModel
from mmbench.recipe import Recipe
from mmbench.training.objectives.base import encoders_of
from mmbench.training.objectives.pairs import PairObjective, composed, own_projections
from mmbench.zoo.fusion.base import Fusion
from mmbench.zoo.matching import matching_head
from mmbench.zoo.precision import in_float32
from mmbench.zoo.stream import Stream

MATCHING = "matching"  # what models call a head of their own


class ITM(PairObjective):
    """L = H(y, p(f)), f the fusion of a text with its image (y = 1), or with a wrong one (y = 0).

    Of each pair the right one is judged, the text with a wrong image, and the image with a wrong
    text. Wrong ones are drawn by softmax(x_i . y_j / tau) of the vectors that both sides have: the
    model's projections (retrieval's), or else the encoders' pooled vectors, which an alignment
    before this stage makes comparable (`nt_xent` with `project: false`). The fusion stays; the head
    does where the model has one of its own (`matching`), and is thrown away otherwise.

    Args:
        between: the text and the medium that the fusion joins to it; its first by default.
        temperature: tau of the drawing: lower is harder.
    """

    added_with = {"between": None, "temperature": 0.07}

    def __init__(
        self, model: TaskModel, between: list[str] | None = None, temperature: float = 0.07
    ) -> None:
        super().__init__("itm", model, between)
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        fusion = _fusion(model)
        asks = next(iter(encoders_of(model)))
        if self.first != asks or self.second not in fusion.contexts:
            raise MMBenchError(
                f"itm matches by the model's fusion, which joins {' and '.join(fusion.contexts)} "
                f"to {asks}; got between: [{self.first}, {self.second}]"
            )
        self._temperature = temperature
        self.reaches = (f"encoders.{self.first}", f"encoders.{self.second}", "fusion")
        if own_head(model) is None:
            self.head = matching_head(fusion.dim)
        else:
            self.reaches = (*self.reaches, MATCHING)

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """Cross-entropy of the right pairs and of two wrong ones for each."""
        streams = [composed(model).stream(side, batch) for side in (self.first, self.second)]
        near = self.nearness(model, streams)
        own = torch.arange(len(near), device=near.device)
        if len(near) < 2:  # nothing wrong to draw
            text, medium = own, own
        else:
            text = torch.cat([own, own, drawn_by(near.T)])
            medium = torch.cat([own, drawn_by(near), own])
        logits = self.match(model, streams[0].take(text), streams[1].take(medium))
        return {"matching": matching_loss(logits, len(own))}

    @torch.no_grad()
    def nearness(self, model: TaskModel, streams: list[Stream]) -> Tensor:
        """log softmax's argument for each text (row) and medium (column), (N, N), float32."""
        layers = own_projections(model)
        vectors = []
        for side, stream in zip((self.first, self.second), streams, strict=True):
            pooled = composed(model).encoder(side).pool(stream)
            vectors.append(layers[side](pooled) if side in layers else pooled)
        with in_float32(vectors[0].device):
            x, y = (functional.normalize(v.float(), dim=-1) for v in vectors)
            return x @ y.T / self._temperature

    def match(self, model: TaskModel, text: Stream, medium: Stream) -> Tensor:
        """Logits (P, 2) of pairs, wrong and right."""
        return matched(model, own_head(model) or self.head, text, medium, self.second)

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any] | None:
        """It trains the fusion, which is what runs of a comparison differ in."""
        return None


def own_head(model: TaskModel) -> nn.Module | None:
    """The head by which a model itself judges pairs; None if it has none."""
    return dict(model.named_children()).get(MATCHING)


def matched(
    model: TaskModel, head: nn.Module, text: Stream, medium: Stream, modality: str
) -> Tensor:
    """Logits (P, 2) of pairs, wrong and right.

    Args:
        head: see `matching_head`.
        text, medium: a row a pair, as the model encodes them.
        modality: the medium's; others that the fusion joins are missing.
    """
    fusion = _fusion(model)
    contexts = [medium if name == modality else None for name in fusion.contexts]
    logits: Tensor = head(fusion(text, contexts).stream.pool())
    return logits


def _fusion(model: TaskModel) -> Fusion:
    fusion = dict(model.named_children()).get("fusion")
    if not isinstance(fusion, Fusion):
        raise MMBenchError(
            "itm matches by a fusion of texts with media, which this model does not have: it is "
            "for models of retrieval and vqa with a fusion of `mmbench list fusions`"
        )
    return fusion


def drawn_by(near: Tensor) -> Tensor:
    """For each row (N) another's column, drawn by its softmax.

    As `torch.multinomial` draws, which waits for the device to check that these are chances.
    """
    chances = near.softmax(1).clamp(min=1e-6).fill_diagonal_(0)
    return (chances / torch.empty_like(chances).exponential_()).argmax(1)


def matching_loss(logits: Tensor, right: int) -> Tensor:
    """The cross-entropy of (P, 2) logits, of which the first `right` are of right pairs."""
    with in_float32(logits.device):
        z = logits if logits.dtype == torch.float64 else logits.float()
        target = (torch.arange(len(z), device=z.device) < right).long()
        return functional.cross_entropy(z, target)
