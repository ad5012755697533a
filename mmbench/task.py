"""The `Task` and `Predictor` contracts: what a task plug-in supplies, and what a model must do.

A task is found by its entry point in the group `mmbench.tasks`. Its module must be light to
import: it imports torch inside `build` alone, so that `mmbench list` stays quick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from mmbench.data.dataset import DatasetSpec, load_spec
from mmbench.data.sample import Sample, SampleSet

if TYPE_CHECKING:
    from mmbench.model import TaskModel
    from mmbench.recipe import Recipe


class Task(ABC):
    """What is asked: inputs, target, metrics, and how a model for it is composed.

    Attributes:
        name: its entry point's name.
        inputs: modalities of its samples.
        default_dataset: what `mmbench run --task NAME` runs on; must need no download.
        metrics: names of metrics, the primary one first.
        encoders: by modality, the encoder of a recipe that names none.
        decoder: the decoder of a recipe that names none.
        unit: what its samples are called ("questions").
    """

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    default_dataset: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    encoders: ClassVar[Mapping[str, str]]
    decoder: ClassVar[str]
    unit: ClassVar[str] = "samples"

    def dataset(self, name: str | None = None) -> DatasetSpec:
        """A dataset of this task by name or path; the default one if none is named."""
        return load_spec(name or self.default_dataset, self.name)

    @abstractmethod
    def load(self, dataset: DatasetSpec, split: str) -> SampleSet:
        """The samples of a split."""

    @abstractmethod
    def assets(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """What a model must know of its training samples besides its weights, as plain JSON.

        For example its vocabulary. It is kept in the checkpoint.
        """

    @abstractmethod
    def build(self, recipe: Recipe, assets: Mapping[str, Any]) -> TaskModel:
        """A model with fresh weights, composed from the zoo as the resolved recipe says."""


class Predictor(Protocol):
    """All that a model from elsewhere must have."""

    def predict(self, samples: Sequence[Sample]) -> list[Any]:
        """An answer per sample, in order."""


class FittedPredictor(Predictor, Protocol):
    """A predictor that is no neural network, made from the training samples.

    Registered under `mmbench.predictors`, named by a recipe's `predictor`.
    """

    def fit(self, samples: Sequence[Sample]) -> None:
        """Learn from the training samples."""
