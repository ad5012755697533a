"""A projection onto a frozen space: a modality is told in the terms of another, which stays.

Source: regression: Frome et al., DeViSE, 2013, sec. 3.2, with the square of the distance (as
Mikolov et al., Exploiting Similarities among Languages, 2013, arXiv 1309.4168, eq. 1); captioning
through a frozen decoder: Liu et al., Visual Instruction Tuning (LLaVA), 2023 (arXiv 2304.08485),
eq. 1 and sec. 4.2, stage 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses, TaskModel
from mmbench.recipe import Recipe
from mmbench.training.objectives.base import Objective, encoders_of
from mmbench.training.objectives.pairs import PairObjective
from mmbench.zoo.decoders.text import TextDecoder
from mmbench.zoo.encoders.pretrained import PretrainedEncoder
from mmbench.zoo.precision import in_float32


class Project(Objective):
    """L = 1/N sum_i |W f(x_i) - g(y_i)|^2, g frozen; or -log p(words | W f(x)), its decoder frozen.

    `regression` trains the encoder f of one modality, and W, to give the pooled vector that the
    frozen encoder g of another gives of the partner; vectors are normalised to mean 0 and variance
    1. W is thrown away after the stage unless it is left out (`layer: false`), and then f gives it.

    `captioning` is LLaVA's first stage, in models that write texts: the task's own loss, with
    decoder and networks of the encoders frozen; what is trained is the projection of each encoder
    that has one, and what joins it to the decoder.

    Args:
        by: "regression" or "captioning".
        onto: of regression, the modality whose encoder stays; text by default.
        of: of regression, the modality that is projected; the first other one by default.
        layer: of regression, whether there is a W besides the encoder's own layers.
    """

    added_with = {"by": "regression", "onto": "text", "of": None, "layer": True}

    def __init__(
        self,
        model: TaskModel,
        by: Literal["regression", "captioning"] = "regression",
        onto: str = "text",
        of: str | None = None,
        layer: bool = True,
    ) -> None:
        super().__init__()
        self.by: Objective = (
            _Regression(model, onto, of, layer) if by == "regression" else _Captioning(model)
        )
        self.reaches = self.by.reaches

    def check(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        self.by.check(model, samples)

    def prepare(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        self.by.prepare(model, samples)

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        return self.by.collate(model, samples, rng)

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        return self.by.losses(model, batch)

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any] | None:
        return self.by.shared(model, recipe)


class _Regression(PairObjective):
    def __init__(self, model: TaskModel, onto: str, of: str | None, layer: bool) -> None:
        others = [modality for modality in encoders_of(model) if modality != onto]
        super().__init__("project", model, [of or (others or ["image"])[0], onto])
        encoders = encoders_of(model)
        width = encoders[self.first].dim
        self.reaches = (f"encoders.{self.first}",)
        self.layer = nn.Linear(width, encoders[onto].dim) if layer else nn.Identity()

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        with torch.no_grad():
            space = self.pooled(model, batch, self.second)
        projected = self.layer(self.pooled(model, batch, self.first))
        return {"distance": squared_distance(projected, space)}

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any] | None:
        """It reads the frozen encoder's weights, which are not among those that it reaches."""
        return None


class _Captioning(Objective):
    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        decoder = dict(model.named_children()).get("decoder")
        if not isinstance(decoder, TextDecoder):
            raise MMBenchError(
                "project by captioning is for models that write texts (the task captioning); "
                "elsewhere use by: regression"
            )
        joins = [name for name, _ in decoder.named_children() if name in decoder.joins]
        joins += [name for name, _ in decoder.named_parameters() if name in decoder.joins]
        if not joins:
            raise MMBenchError(
                "project by captioning trains what joins the media to the decoder, and this model "
                "joins none: it needs a fusion"
            )
        projections = [
            f"encoders.{modality}.{name}"
            for modality, encoder in encoders_of(model).items()
            if isinstance(encoder, PretrainedEncoder)
            for name in ("norm", "project")
        ]
        self.reaches = (*projections, *(f"decoder.{name}" for name in joins))

    def prepare(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        model.prepare_training(samples)

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        return model.collate_training(samples, rng)

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        return model.losses(batch)


def squared_distance(projected: Tensor, space: Tensor) -> Tensor:
    """1/N sum_i |p_i - s_i|^2 / D of vectors (N, D) normalised to mean 0 and variance 1 each.

    In float32 or float64.
    """
    with in_float32(space.device):
        wide = projected.dtype == torch.float64
        p, s = (
            functional.layer_norm(x if wide else x.float(), x.shape[-1:])
            for x in (projected, space)
        )
        return (p - s).square().mean()
