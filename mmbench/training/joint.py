"""Several tasks trained together: whose batch each step takes, and how far they pull apart.

Each step is one task's. A task's weight says how often an epoch goes through its samples: 1 once,
0.5 through half of them, drawn anew each epoch; so is the order in which the tasks come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.data.batches import GroupBatches
from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Losses, TaskModel
from mmbench.recipe import Train
from mmbench.stages import TASK, Stage, StageObjective
from mmbench.training.modes import train_mode
from mmbench.training.objectives.base import Epoch
from mmbench.training.objectives.weighted import Batches, WeightedObjectives, moved, total
from mmbench.training.stage_batches import StageBatches

_OF_ALL = (
    *("optimizer", "lr", "weight_decay", "schedule", "warmup", "clip"),
    *("accumulate", "ema", "patience", "keep"),
)


class OfTask(list[Sample]):
    """A batch of samples of one task.

    Attributes:
        task: its name.
    """

    def __init__(self, samples: Sequence[Sample], task: str) -> None:
        super().__init__(samples)
        self.task = task


def together(stage: Stage, settings: Mapping[str, Train]) -> Train:
    """The settings of the training as a whole: one optimizer, one schedule, one length.

    A batch's size, its neighbours, dropout and label smoothing stay those of each task.

    Args:
        stage: that trains them.
        settings: of each task's training, the stage's own among them.
    Returns: what they agree on, with the most epochs that one of them asks for.
    Raises: MMBenchError if they ask for different things that must be one.
    """
    (first, found), *others = settings.items()
    for name, other in others:
        for key in _OF_ALL:
            ours, theirs = getattr(found, key), getattr(other, key)
            if ours != theirs:
                raise MMBenchError(
                    f"the stage {stage.name} trains {first} and {name} with one optimizer, and "
                    f"their datasets ask for different train.{key} ({ours}; {theirs}): name it in "
                    "the recipe"
                )
    return found.model_copy(update={"epochs": max(s.epochs for s in settings.values())})


def steps_of(batches: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, int]:
    """How many steps of an epoch each task gets.

    Args:
        batches: of each task, that one pass over its samples takes.
        weights: of each task, how many passes an epoch has.
    Raises: MMBenchError if one of them gets none.

    >>> steps_of({"captioning": 157, "vqa": 157}, {"captioning": 1.0, "vqa": 0.5})
    {'captioning': 157, 'vqa': 78}
    """
    found = {name: round(weights[name] * count) for name, count in batches.items()}
    if none := [name for name, steps in found.items() if not steps]:
        raise MMBenchError(
            f"the weight of {none[0]}, {weights[none[0]]:g}, leaves it no step of an epoch: its "
            f"samples make {batches[none[0]]:,} batches. Raise it, or drop the task"
        )
    return found


class JointBatches:
    """The batches of several tasks, each of one of them.

    Args:
        batches: of each task.
        weights: of each task: how often an epoch goes through its samples.
        seed: of the order in which the tasks come.
    """

    def __init__(
        self, batches: Mapping[str, StageBatches], weights: Mapping[str, float], seed: int
    ) -> None:
        self._batches = dict(sorted(batches.items()))
        self._seed = seed
        self._counts = steps_of({name: len(b) for name, b in self._batches.items()}, weights)

    def __len__(self) -> int:
        return sum(self._counts.values())

    def begin(self, epoch: int) -> None:
        for batches in self._batches.values():
            batches.begin(epoch)

    def epoch(self, epoch: int) -> Iterator[list[Sample]]:
        """The batches, each an `OfTask`."""
        names = list(self._batches)
        order = np.repeat(np.arange(len(names)), [self._counts[name] for name in names])
        made = [self._of(name, epoch) for name in names]
        for place in np.random.default_rng([self._seed, epoch, len(names)]).permutation(order):
            yield OfTask(next(made[place]), names[place])

    def _of(self, name: str, epoch: int) -> Iterator[list[Sample]]:
        """A task's batches of an epoch, of as many passes over its samples as its steps take.

        What is alike stands together in the first pass.
        """
        batches = self._batches[name]
        passes = -(-self._counts[name] // len(batches))
        yield from batches.epoch(epoch * passes)
        for number in range(1, passes):
            yield from batches.drawn(epoch * passes + number)


class JointObjectives(WeightedObjectives):
    """The tasks' own losses, each of the batches that are its.

    Args:
        stage: names the tasks.
        models: of the tasks, with the parts that they share.
        settings: of each task's training.
    Attributes:
        of: by task, its own loss.
        first: (tasks,), the loss of each on validation after the first epoch; NaN before.
    """

    first: Tensor

    def __init__(
        self, stage: Stage, models: Mapping[str, TaskModel], settings: Mapping[str, Train]
    ) -> None:
        nn.Module.__init__(self)
        self._stage = stage
        self._models = dict(sorted(models.items()))
        own = Stage(name=stage.name, objective={TASK: StageObjective()})
        self.of = {
            name: WeightedObjectives(own, model, settings[name])
            for name, model in self._models.items()
        }
        self._parts = nn.ModuleDict(self.of)
        self.register_buffer("first", torch.full((len(models),), float("nan")))

    def prepare_all(self, samples: Mapping[str, Sequence[Sample]]) -> None:
        """Called with all samples of each task before the stage begins."""
        for name, model in self._models.items():
            self.of[name].prepare(model, samples[name])

    def reach(self, name: str) -> bool:
        """A gradient can reach whatever a task's own can."""
        return True

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batches:
        """The batch of the one task that the samples are of."""
        assert isinstance(samples, OfTask)
        task = samples.task
        return {task: self.of[task].collate(self._models[task], samples, rng)[TASK]}

    def losses(self, model: TaskModel, batches: Batches) -> Losses:
        """Those of the one task by name, such as `vqa.answer`."""
        ((task, batch),) = batches.items()
        found = self.of[task].losses(self._models[task], {TASK: batch})
        return {f"{task}.{name}": loss for name, loss in found.items()}

    def before_epoch(self, model: TaskModel, epoch: Epoch) -> None:
        """Nothing is to be done."""

    def after_backward(self, model: TaskModel) -> None:
        """Nothing is to be done."""

    def after_step(self, model: TaskModel) -> None:
        """Nothing is to be done."""

    def relative(self, losses: Sequence[float]) -> float:
        """The mean of the tasks' losses on validation, each by its own after the first epoch.

        Args:
            losses: of the tasks, in the order of their names.
        """
        now = torch.tensor(losses, device=self.first.device)
        if self.first.isnan().any():
            self.first.copy_(now)
        return (now / self.first.clamp(min=torch.finfo(torch.float32).tiny)).mean().item()


class Conflict:
    """How far tasks pull apart what they share: cosines between their gradients.

    Of two tasks it is that of the gradients of their losses with respect to all trained parameters
    that both reach, each on one batch of its own training samples, always the same one: 1 where
    both ask for the same change, below 0 where what one gains is the other's loss. Measured in
    training mode, as steps see them: the running statistics of norms lag behind so young weights,
    and what that does to both gradients alike would be taken for agreement or conflict. What
    changes meanwhile is put back.

    Source: Yu et al., Gradient Surgery for Multi-Task Learning, 2020 (arXiv 2001.06782), def. 1.

    Args:
        objectives: of the tasks.
        models: of the tasks.
        samples: of each, that it is trained on.
        settings: of each: how large a batch is.
        seed: of which batch it is.
        device: where the models are.
    """

    def __init__(
        self,
        objectives: JointObjectives,
        models: Mapping[str, TaskModel],
        samples: Mapping[str, Sequence[Sample]],
        settings: Mapping[str, Train],
        seed: int,
        device: torch.device,
    ) -> None:
        self._objectives = objectives
        self._models = dict(sorted(models.items()))
        self._device = device
        self._seed = seed
        self._samples = {
            name: next(GroupBatches(samples[name], settings[name].batch, seed=seed).epoch())
            for name in self._models
        }

    def measure(self) -> dict[str, float]:
        """By pair, such as `captioning/vqa`; nothing of a pair that shares nothing trained.

        The models are in training mode afterwards.
        """
        cuda = self._device.type == "cuda"
        train_mode(self._objectives)
        with (
            torch.random.fork_rng(devices=[self._device] if cuda else []),
            torch.autocast(self._device.type, torch.bfloat16, enabled=cuda),
        ):
            torch.manual_seed(self._seed)
            gradients = {name: self._gradients(name) for name in self._models}
        pairs = combinations(self._models, 2)
        found = {f"{a}/{b}": cosine(gradients[a], gradients[b]) for a, b in pairs}
        return {pair: value for pair, value in found.items() if value is not None}

    def _gradients(self, task: str) -> dict[int, Tensor]:
        """Of a task's loss, by parameter, of those that it reaches."""
        model, own = self._models[task], self._objectives.of[task]
        train_mode(model)
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        rng = np.random.default_rng(self._seed)
        batches = moved(own.collate(model, self._samples[task], rng), self._device)
        trained = [p for p in model.parameters() if p.requires_grad]
        if not trained:
            return {}
        loss = total(own.losses(model, batches))
        found = torch.autograd.grad(loss, trained, allow_unused=True)
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
        return {
            id(p): gradient.float()
            for p, gradient in zip(trained, found, strict=True)
            if gradient is not None
        }


def cosine(ours: Mapping[int, Tensor], theirs: Mapping[int, Tensor]) -> float | None:
    """Between two gradients over the parameters that both have; None if that is not defined.

    >>> a, b = {1: torch.tensor([1.0, 0.0]), 2: torch.ones(2)}, {1: torch.tensor([3.0, 4.0])}
    >>> round(cosine(a, b), 2)
    0.6
    """
    both = [key for key in ours if key in theirs]
    if not both:
        return None
    a, b = (torch.cat([g[key].flatten() for key in both]).double() for g in (ours, theirs))
    norms = (a.norm() * b.norm()).item()
    return (a @ b).item() / norms if norms > 0 else None
