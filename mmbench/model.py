"""The `TaskModel` contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.data.media import MediaRef
from mmbench.data.sample import Query, Sample
from mmbench.errors import MMBenchError
from mmbench.zoo.part import FROZEN
from mmbench.zoo.stream import Stream

Batch = dict[str, Tensor]
Losses = dict[str, Tensor]  # scalars by name; what is minimised is their sum


@dataclass(frozen=True)
class Decision:
    """A batch decided among classes, and what it was decided by: what balancing methods read.

    Attributes:
        logits: (B, C), minus infinity where a sample has no such class.
        target: (B,) int64, the right classes; negative where there is none.
        losses: as `TaskModel.losses` gives them.
        own: which of them is that of the logits; the others are a fusion's own.
        streams: of each modality, as the fusion reads it.
        present: (B,) bool of each, which samples have it.
        arranged: what makes of a classifier's logits of a stream those of the samples, (B, C).
    """

    logits: Tensor
    target: Tensor
    losses: Losses
    own: str
    streams: Mapping[str, Stream]
    present: Mapping[str, Tensor]
    arranged: Callable[[Tensor], Tensor]


class TaskModel(nn.Module, ABC):
    """A model composed for a task.

    Its child modules are its parts: parameters are counted by child. A part that must be trained
    before the rest can be (an image decoder's autoencoder) says so by a method `own_stages`, which
    gives stages as a recipe's YAML has them, with names relative to the part. One that changes in
    the course of training has a method `before_epoch(epoch, epochs)`.

    One that decides among classes, by the encoders of a child `encoders`, may have `decide` and
    `head` too: what balancing methods need.

    Attributes:
        fused_contexts: the modalities that a fusion joins to its query: those that
            `train.modality_dropout` drops.
        classes: among how many it decides; None where samples have classes of their own, or there
            are none.
        answers_at_once: whether `answer` is one pass, and not a loop that writes step after step:
            `--compile` leaves such a loop as it is, which torch would unroll for minutes.
        reuses_features: whether what `prepare` kept stands for running the frozen encoders. It is
            off while operations are counted, so that those of frozen encoders count too.
        dropout: of features of encoded streams in training, as `train.dropout` of its stage says.
    """

    fused_contexts: Sequence[str] = ()
    classes: int | None = None
    answers_at_once = True
    reuses_features = True
    dropout = 0.0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "loss" in vars(cls) and cls.losses is TaskModel.losses:
            raise MMBenchError(
                f"{cls.__name__} was made for an earlier mmbench: `loss` is `losses` now, by name; "
                "`collate(samples, targets)` is `collate(queries)` and `collate_training(samples, "
                "rng)`, of which only the latter sees targets (docs/extending.md)"
            )

    @abstractmethod
    def collate(self, queries: Sequence[Query]) -> Batch:
        """Queries as tensors by name, each distinct input once: what `answer` takes."""

    @abstractmethod
    def collate_training(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Samples and their targets as tensors by name: what `losses` takes.

        Args:
            rng: whatever is drawn (one of several captions), is drawn from it and never from
                torch's own generator, which the model draws from: the next batch may be made while
                this one trains.
        """

    @abstractmethod
    def losses(self, batch: Batch, label_smoothing: float = 0.0) -> Losses:
        """The task's own losses by name, each a mean over the batch's samples."""

    def terms(self, batch: Batch) -> Mapping[str, Tensor | int]:
        """By the name of a loss, of how many terms of a batch it is the mean; others under "".

        Several processes train a model by it, each on a share of every batch, and refuse one that
        leaves this as it is: its losses may compare samples with each other.
        """
        raise NotImplementedError

    @abstractmethod
    def answer(self, batch: Batch) -> list[Any]:
        """An answer per query."""

    def prepare(self, queries: Sequence[Query]) -> None:
        """Called with all queries before they are answered.

        A model with frozen encoders computes their features here, once.
        """

    def prepare_training(self, samples: Sequence[Sample]) -> None:
        """Called with all samples, those of validation too, before `losses` is first asked for."""
        self.prepare(samples)

    def decide(self, batch: Batch, label_smoothing: float = 0.0) -> Decision:
        """The decision of which `losses` gives the losses, of a model whose answers are classes.

        A recipe's `balance` is refused for a model that leaves this as it is.
        """
        raise NotImplementedError

    def head(self, modality: str) -> nn.Module:
        """A new classifier of one modality's stream, as the model's own is one of what is fused.

        It makes (B, N, D) logits (B, C), which `Decision.arranged` takes.
        """
        raise NotImplementedError

    def contexts_kept(
        self, samples: Sequence[Sample], share: float, rng: np.random.Generator
    ) -> Batch:
        """Draw which samples keep which of `fused_contexts`, for what `losses` takes.

        Args:
            share: the probability that a sample loses a context; each is drawn by itself. The
                query is always kept, so that no sample loses all.
            rng: that it is drawn from.
        """
        raise NotImplementedError

    def alike(self, batches: Iterable[Batch], count: int) -> Tensor:
        """For each group the others that it is easily taken for, (G, count), most similar first.

        Training asks a model for it that has `train.neighbours`, and refuses one that leaves this
        as it is: a model that does not compare samples with each other.

        Args:
            batches: of all groups in their order, with targets, on the model's device.
            count: how many of each; the group itself may be among them.
        """
        raise NotImplementedError

    def drawn(self, batch: Batch) -> list[str]:
        """A text per query, drawn as the model finds texts likely, the same one for the same query.

        Captions are bootstrapped (`data.captions` of a stage) of a model that writes texts, and
        refused for one that leaves this as it is.

        Args:
            batch: as `answer` takes it.
        """
        raise NotImplementedError

    def conclude(self, queries: Sequence[Query], answers: Iterable[Any]) -> Iterable[Any]:
        """The final answers, in order, of what `answer` gave for each query.

        For a model whose answers depend on all queries (candidates that are scored again), or on
        what a batch does not hold (a choice in words).
        """
        return answers

    def keep(self, queries: Sequence[Query], modalities: Sequence[str]) -> None:
        """Called with queries whose inputs of these modalities are about to be read repeatedly.

        What a model makes of such an input it may keep until it is called again, if its answers
        stay the same.
        """

    def without(self, batch: Batch, modality: str) -> Batch:
        """A batch of `collate` as if no query had this modality.

        The question of what a model makes of a missing input is not asked of one that leaves this
        as it is.
        """
        raise NotImplementedError

    def notes(self) -> list[str]:
        """What the record should say of the answers just given, besides their scores."""
        return []


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Parameters by part, without double counting of shared ones; the sum is their total.

    Those of frozen networks, which are not among a module's own, are parts ending in FROZEN.
    """
    counts: dict[str, int] = {}
    seen: set[int] = set()
    for name, parameter in model.named_parameters():
        part = part_of(name)
        if id(parameter) not in seen:
            seen.add(id(parameter))
            counts[part] = counts.get(part, 0) + parameter.numel()
    for name, module in model.named_modules():
        if frozen := getattr(module, "frozen_parameters", 0):
            counts[part_of(name) + FROZEN] = frozen
    return counts


def part_of(name: str) -> str:
    """The part of a model that a tensor belongs to, by its dotted name.

    >>> part_of("encoders.image.layers.0.weight"), part_of("fusion.gate.bias")
    ('encoders.image', 'fusion')
    """
    keys = name.split(".")
    return ".".join(keys[:2]) if keys[0] == "encoders" else keys[0]


def move(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on a device."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def pixels(images: Sequence[MediaRef]) -> Tensor:
    """Images of one size as (U, 3, H, W) uint8."""
    return torch.from_numpy(np.stack([image.array() for image in images])).movedim(-1, -3)
