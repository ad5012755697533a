"""The training loop: steps, a schedule, clipping, and the weights that are kept of all epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from mmbench.compiled import compiled
from mmbench.computing import usable_cores
from mmbench.data.sample import Sample
from mmbench.model import Losses, TaskModel
from mmbench.prefetch import prefetched
from mmbench.processes import here
from mmbench.recipe import Train
from mmbench.training.averaging import Average
from mmbench.training.modes import train_mode
from mmbench.training.not_finite import loss_error, not_finite_in, put_back, weights_of
from mmbench.training.objectives.base import Epoch
from mmbench.training.objectives.weighted import Batches, WeightedObjectives, total
from mmbench.training.optimizer import optimizer_for
from mmbench.training.schedule import scheduler_for
from mmbench.training.shared_out import by_terms, norms_apart, norms_of_all, sum_gradients
from mmbench.training.stage_batches import Batched, StageBatches
from mmbench.training.state import Progress, load_state, save_state
from mmbench.training.transfer import Sent, Transfer


class Watcher(Protocol):
    """Whoever wants to know how training goes: a progress bar, a log."""

    def started(self, epochs: int, steps: int, epoch: int) -> None:
        """Training starts (or goes on) at an epoch, with so many steps an epoch."""

    def stepped(self, loss: Callable[[], float], samples: int) -> None:
        """A step is done; `loss()` waits for the device, so call it seldom."""

    def finished_epoch(self, entry: dict[str, Any]) -> None:
        """An epoch is done; the entry is what `log.jsonl` gets."""


@dataclass(frozen=True)
class Trained:
    """What training gave; the model holds the weights that `keep` says.

    Attributes:
        seconds: of training, validation included, over all sittings.
        train_samples: samples of one epoch.
        samples_per_second: in the training steps alone.
        best_epoch: the epoch (from 1) whose weights are kept.
        best_score: its score on validation, the negative of what is minimised.
        log: an entry per epoch.
        measured: on validation, by name, what its objectives tell besides the loss.
    """

    seconds: float
    train_samples: int
    samples_per_second: float
    best_epoch: int
    best_score: float
    log: list[dict[str, Any]]
    measured: dict[str, float] = field(default_factory=dict)


class _Learner:
    """A model, its objectives and the optimizer of both."""

    def __init__(
        self,
        model: TaskModel,
        objectives: WeightedObjectives,
        settings: Train,
        seed: int,
        device: torch.device,
        prefetch: bool,
    ) -> None:
        self._processes = here()
        if self._processes.several:
            norms_of_all(model)
        self.model = model
        self.objectives = objectives
        self.both = nn.ModuleDict({"model": model, "objectives": objectives})
        self.optimizer = optimizer_for(self.both, settings)
        self._trained = [p for p in self.both.parameters() if p.requires_grad]
        self._average: Average | None = None
        self._settings = settings
        self._seed = seed
        self._device = device
        self._prefetch = prefetch
        self._transfer = Transfer(device)
        self._losses = compiled(objectives.losses)

    def train_epoch(
        self,
        batches: Batched,
        epoch: int,
        scheduler: LRScheduler,
        watcher: Watcher,
    ) -> tuple[dict[str, float], float, int]:
        """Train on every batch once.

        Returns: the mean of each loss over the batches that have it, the last learning rate, and
            how many samples there were.
        """
        train_mode(self.both)
        made = self._collated(batches.epoch(epoch), epoch)
        sums: Losses = {}
        times: dict[str, int] = {}
        samples = 0
        at_once = self._settings.accumulate
        with closing(prefetched(made) if self._prefetch else made) as ready:
            for number, (count, whole, collated) in enumerate(ready):
                place = number % at_once
                of = min(at_once, len(batches) - (number - place))
                if self._processes.several:
                    norms_apart(self.model, whole)
                losses, parts = self._gradients(self._transfer.take(collated), place, of)
                if place == of - 1:
                    lr = self.optimizer.param_groups[0]["lr"]
                    self._step()
                    scheduler.step()
                for name, loss in parts.items():
                    sums[name] = sums[name] + loss if name in sums else loss
                    times[name] = times.get(name, 0) + 1
                samples += count
                watcher.stepped(partial(_value, losses), count)
        means = {n: self._processes.sum(value).item() / times[n] for n, value in sums.items()}
        return means, lr, samples

    def not_finite(self, batches: Batched, epoch: int) -> str:
        """Which part made NaN of an epoch that is gone through again; "" if none did by itself."""
        train_mode(self.both)
        made = self._collated(batches.epoch(epoch), epoch)
        with closing(made) as ready:
            taken = (self._transfer.take(collated) for *_, collated in ready)
            return not_finite_in(self.model, self.objectives, taken)

    def before_epoch(self, epoch: Epoch) -> None:
        """Tell the objectives, and those of the model's parts that change in training's course."""
        for part in self.model.modules():
            if hook := getattr(part, "before_epoch", None):
                hook(epoch.number, epoch.epochs)
        self.objectives.before_epoch(self.model, epoch)

    def _collated(
        self, epoch: Iterable[Sequence[Sample]], number: int
    ) -> Generator[tuple[int, bool, Sent], None, None]:
        """How many samples each batch of an epoch has, whether this process has all of them, and
        what the objectives read of its own.
        """
        own = [self._processes.place] if self._processes.place else []
        for step, chosen in enumerate(epoch, 1):  # 0 is what the order is drawn from
            rng = np.random.default_rng([self._seed, number, step, *own])
            share = self._processes.share(chosen)
            collated = self.objectives.collate(self.model, share, rng)
            yield len(chosen), share is chosen, self._transfer.send(collated)

    def _gradients(self, batches: Batches, place: int, of: int) -> tuple[Losses, Losses]:
        """Add up the gradients of batches on the device: one of so many that a step averages.

        Returns: the losses, still on the device; and as parts of those of all processes.
        """
        cuda = self._device.type == "cuda"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=cuda):
            losses = self._losses(self.model, batches)
        if place == 0:
            self.optimizer.zero_grad(set_to_none=True)
        parts = losses
        if self._processes.several:
            parts = by_terms(losses, self.objectives.terms(self.model, batches), self._processes)
        whole = total(parts)
        (whole if of == 1 else whole / of).backward()
        found, own = ({name: loss.detach() for name, loss in x.items()} for x in (losses, parts))
        return found, own

    def _step(self) -> None:
        """One step along the gradients that are there."""
        sum_gradients(self._trained, self._processes)
        self.objectives.after_backward(self.model)
        nn.utils.clip_grad_norm_(self._trained, self._settings.clip)
        self.optimizer.step()
        self.objectives.after_step(self.model)
        if self._average is not None:
            self._average.update()

    def begin(self, folder: Path, resume: bool, updates: int) -> tuple[dict[str, Tensor], Progress]:
        """The weights that are kept so far and how far the training is, from the folder if it goes
        on; of a new one, none yet.

        Args:
            updates: of the weights, in an epoch.
        """
        found = load_state(folder, self.both, self.optimizer) if resume else None
        best, average, progress = found or ({}, {}, Progress())
        if self._settings.ema:
            done = progress.epoch * updates
            self._average = Average(self.model, self.objectives, self._settings.ema, done)
            if found:
                self._average.load(average)
        self._processes.spread([tensor.data for tensor in self.both.state_dict().values()])
        return best, progress

    def evaluated(self) -> AbstractContextManager[None]:
        """Within, the model holds the weights that are validated and kept: the average, if any."""
        return nullcontext() if self._average is None else self._average.in_place()

    def save(self, folder: Path, best: Mapping[str, Tensor], progress: Progress) -> None:
        """Keep the state of the training."""
        if not self._processes.first:
            return
        average = self._average.tensors if self._average is not None else None
        save_state(folder, self.both, self.optimizer, best, progress, average)


def fit(
    model: TaskModel,
    objectives: WeightedObjectives,
    samples: Sequence[Sample],
    settings: Train,
    score: Callable[[], float],
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    resume: bool,
    watcher: Watcher,
    prefetch: bool | None = None,
    validation: Sequence[Sample] = (),
    chosen_by: str = "score",
    lower_is_better: bool = False,
    batches: Batched | None = None,
    tells: Callable[[], Mapping[str, Any]] = dict,
) -> Trained:
    """Train a model and leave it with the weights that scored highest on validation, or the last.

    Args:
        model: on the device; of its parameters those that require a gradient are trained.
        objectives: what is minimised, on the device, prepared for the samples.
        samples: to train on.
        settings: the stage's.
        score: the model's score on validation, higher is better; called after each epoch.
        seed: of the batches and of dropout; with the model's own seed it fixes the result.
        device: where to train.
        folder: where the state is kept after each epoch.
        resume: go on from the state in the folder if there is one.
        watcher: told of every step and epoch.
        prefetch: whether a thread makes the next batch while this one trains, which changes no
            number, since collation draws from a generator of its own; None where there is a core
            for it, since that was faster whenever measured.
        validation: for objectives that look at it.
        chosen_by: what the log calls the score: a metric, or "loss".
        lower_is_better: whether the score is the negative of what is called so.
        batches: of the samples, where they are not made as the settings say.
        tells: called after `score`; what it gives stands in the epoch's entry of the log.
    Raises: MMBenchError if the loss stops being a number, or the settings ask for neighbours that
        the model cannot find or a batch cannot hold.
    """
    if prefetch is None:
        prefetch = usable_cores() > 1
    learner = _Learner(model, objectives, settings, seed, device, prefetch)
    batches = batches or StageBatches(model, samples, settings, seed, device)
    updates = -(-len(batches) // settings.accumulate)
    best, progress = learner.begin(folder, resume, updates)
    scheduler = scheduler_for(
        learner.optimizer,
        settings.schedule,
        steps=settings.epochs * updates,
        warmup=settings.warmup,
        done=progress.epoch * updates,
    )
    watcher.started(settings.epochs, len(batches), progress.epoch)
    began_at, first = progress.epoch, weights_of(learner.both)
    while progress.epoch < settings.epochs and not ends_early(progress.log, settings.patience):
        epoch = progress.epoch
        began = time.perf_counter()
        learner.before_epoch(
            Epoch(epoch, settings.epochs, samples, validation, settings.batch, device)
        )
        torch.manual_seed(_seed_of(seed, epoch))  # the same dropout wherever a run was cut
        batches.begin(epoch)
        means, lr, count = learner.train_epoch(batches, epoch, scheduler, watcher)
        mean = sum(means.values())
        if not math.isfinite(mean):
            if epoch == began_at:
                put_back(learner.both, first)
            else:
                load_state(folder, learner.both, learner.optimizer)
            torch.manual_seed(_seed_of(seed, epoch))
            raise loss_error(mean, epoch + 1, learner.not_finite(batches, epoch))
        trained = time.perf_counter() - began
        with learner.evaluated():
            value = score()
            if not best or value > progress.best_score or settings.keep == "last":
                best = {name: t.detach().clone() for name, t in model.state_dict().items()}
                progress.best_epoch, progress.best_score = epoch + 1, value
        entry = {
            "epoch": epoch + 1,
            "loss": mean,
            **({"losses": means} if len(means) > 1 else {}),
            "lr": lr,
            "validation": value,
            "chosen_by": chosen_by,
            **({"lower_is_better": True} if lower_is_better else {}),
            "train_seconds": trained,
            "samples_per_second": count / trained,
            **tells(),
        }
        progress.log.append(entry)
        progress.epoch = epoch + 1
        progress.seconds += time.perf_counter() - began
        learner.save(folder, best, progress)
        watcher.finished_epoch(entry)
    model.load_state_dict(best)
    return Trained(
        seconds=progress.seconds,
        train_samples=len(samples),
        samples_per_second=_throughput(progress.log),
        best_epoch=progress.best_epoch,
        best_score=progress.best_score,
        log=progress.log,
    )


def ends_early(log: Sequence[Mapping[str, Any]], patience: int | None) -> bool:
    """Whether the last epochs, as many as patience says, brought no gain on validation.

    >>> values = [{"validation": value} for value in (0.1, 0.3, 0.2, 0.3)]
    >>> ends_early(values, 2), ends_early(values, 3), ends_early(values, None)
    (True, False, False)
    """
    if patience is None:
        return False
    highest, best = float("-inf"), 0
    for number, entry in enumerate(log):
        if entry["validation"] > highest:
            highest, best = entry["validation"], number
    return len(log) - 1 - best >= patience


def _seed_of(seed: int, epoch: int) -> int:
    """Of what is drawn in an epoch: by each process for its own samples."""
    return seed + 1_000_003 * epoch + 15_485_863 * here().place


def _value(losses: Losses) -> float:
    return total(losses).item()


def _throughput(log: list[dict[str, Any]]) -> float:
    samples = sum(entry["samples_per_second"] * entry["train_seconds"] for entry in log)
    return samples / sum(entry["train_seconds"] for entry in log)
