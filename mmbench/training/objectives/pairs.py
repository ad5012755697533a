"""What objectives on pairs of two modalities share: which two, and how each pair is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from mmbench.compose import ComposedModel
from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.model import Batch, TaskModel
from mmbench.recipe import Recipe
from mmbench.training.objectives.base import Objective, encoder_facts, encoder_of, encoders_of
from mmbench.training.objectives.content import all_of, pairs_of


class PairObjective(Objective):
    """An objective on pairs of what two modalities hold of one thing, such as an image and a text.

    Args:
        name: the objective's, for errors.
        model: composed of encoders.
        between: the two modalities; None for text and the first of the others.
    Raises: MMBenchError if the model lacks an encoder of either.

    Attributes:
        first, second: the two modalities.
    """

    def __init__(self, name: str, model: TaskModel, between: list[str] | None) -> None:
        super().__init__()
        have = list(encoders_of(model))
        if between is None:
            media = [modality for modality in have if modality != "text"]
            between = ["text", *(media or ["image"])[:1]]
        if len(between) != 2 or between[0] == between[1]:
            raise MMBenchError(
                f"{name}.between names two modalities, such as [text, image]; got {between}"
            )
        for modality in between:
            if modality not in have:
                raise MMBenchError(
                    f"{name} aligns {' with '.join(between)}, and this model has no encoder for "
                    f"{modality}: it has {', '.join(have) or 'none'}.{did_you_mean(modality, have)}"
                )
        self.first, self.second = between
        for modality in between:
            encoder_of(model, modality, name)

    def check(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        pairs_of(samples, self.first, self.second, np.random.default_rng(0))

    def prepare(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        """What frozen encoders make of all that is paired is computed once."""
        for modality in (self.first, self.second):
            composed(model).remember(modality, all_of(samples, modality))

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """Returns: what the two encoders read of a pair of each group, drawn."""
        pairs = pairs_of(samples, self.first, self.second, rng)
        read = composed(model).read
        return {
            name: tensor
            for modality, values in zip((self.first, self.second), pairs, strict=True)
            for name, tensor in read(modality, values).items()
        }

    def pooled(self, model: TaskModel, batch: Batch, modality: str) -> Tensor:
        """One vector (N, D) of each pair's side."""
        whole = composed(model)
        pooled: Tensor = whole.encoder(modality).pool(whole.stream(modality, batch))
        return pooled

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any] | None:
        """It reads the two encoders, and the projections of the model where it has some."""
        return {m: encoder_facts(model, recipe, m) for m in (self.first, self.second)}


class Projected(PairObjective):
    """Pairs of vectors in a space that both modalities are projected into.

    The projections are the model's own where it has some (`project`, as retrieval's dual encoder),
    and stay; otherwise they are thrown away after the stage, or left out (`project: false`), so
    that the encoders' own vectors are aligned.

    Args:
        name, model, between: see `PairObjective`.
        project: whether there are projections.
    """

    def __init__(
        self, name: str, model: TaskModel, between: list[str] | None, project: bool
    ) -> None:
        super().__init__(name, model, between)
        sides = (self.first, self.second)
        reached = [f"encoders.{side}" for side in sides]
        self._of_model = project and all(side in own_projections(model) for side in sides)
        self._projects = project
        if self._of_model:
            reached += ["project"]
        elif project:
            width = encoders_of(model)[self.first].dim
            self.project = nn.ModuleDict({side: nn.Linear(width, width) for side in sides})
        self.reaches = tuple(reached)

    def vectors(self, model: TaskModel, batch: Batch) -> tuple[Tensor, Tensor]:
        """Those of each pair's two sides, (N, D) each, of any length."""
        found = [self.pooled(model, batch, side) for side in (self.first, self.second)]
        if self._projects:
            layers = own_projections(model) if self._of_model else self.project
            sides = zip((self.first, self.second), found, strict=True)
            found = [layers[side](x) for side, x in sides]
        return found[0], found[1]


def own_projections(model: TaskModel) -> nn.ModuleDict:
    """The layers by which a model projects its modalities into one space; none if it does not."""
    found = dict(model.named_children()).get("project")
    return found if isinstance(found, nn.ModuleDict) else nn.ModuleDict()


def composed(model: TaskModel) -> ComposedModel:
    """The model, which has encoders by modality and so is composed of them."""
    return cast(ComposedModel, model)
