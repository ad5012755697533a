"""The training loop: AdamW, a schedule, clipping, and the weights that were best on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.data.batches import GroupBatches
from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import TaskModel, move
from mmbench.recipe import Train
from mmbench.training.mining import alike_order, runs_in_order
from mmbench.training.schedule import learning_rate_factor
from mmbench.training.state import Progress, load_state, save_state


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
    """What training gave; the model holds the weights that were best on validation.

    Attributes:
        seconds: of training, validation included, over all sittings.
        train_samples: samples of one epoch.
        samples_per_second: in the training steps alone.
        best_epoch: the epoch (from 1) whose weights are kept.
        best_score: its score on validation.
        log: an entry per epoch.
    """

    seconds: float
    train_samples: int
    samples_per_second: float
    best_epoch: int
    best_score: float
    log: list[dict[str, Any]]


def optimizer_for(model: nn.Module, settings: Train) -> torch.optim.AdamW:
    """AdamW of what is not frozen, that decays matrices only: no bias, norm or embedding."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in (p for p in model.parameters() if p.requires_grad):
        is_matrix = parameter.ndim >= 2 and id(parameter) not in embeddings
        (decayed if is_matrix else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def train_step(
    model: TaskModel,
    batch: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    settings: Train,
    lr: float,
    device: torch.device,
) -> Tensor:
    """One step on a batch that is on the device; returns the loss, still on the device."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        loss = model.loss(batch, settings.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimizer.step()
    return loss.detach()


def fit(
    model: TaskModel,
    samples: Sequence[Sample],
    settings: Train,
    score: Callable[[], float],
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    resume: bool,
    watcher: Watcher,
) -> Trained:
    """Train a model and leave it with the weights that scored highest on validation.

    Args:
        model: on the device.
        samples: to train on.
        settings: the recipe's.
        score: the model's score on validation, higher is better; called after each epoch.
        seed: of the batches' order and of dropout; with the model's own seed it fixes the result.
        device: where to train.
        folder: where the state is kept after each epoch.
        resume: go on from the state in the folder if there is one.
        watcher: told of every step and epoch.
    Raises: MMBenchError if the loss stops being a number, or the settings ask for neighbours that
        the model cannot find or a batch cannot hold.
    """
    _check_neighbours(model, settings)
    model.prepare(samples)
    optimizer = optimizer_for(model, settings)
    batches = GroupBatches(samples, settings.batch, seed=seed)
    steps = len(batches) * settings.epochs
    best: dict[str, Tensor] = {}
    progress = Progress(epoch=0, best_epoch=0, best_score=float("-inf"), seconds=0.0, log=[])
    if resume and (found := load_state(folder, model, optimizer)):
        best, progress = found
    watcher.started(settings.epochs, len(batches), progress.epoch)
    for epoch in range(progress.epoch, settings.epochs):
        began = time.perf_counter()
        torch.manual_seed(seed + 1_000_003 * epoch)  # the same dropout wherever a run was cut
        order = None
        if settings.neighbours > 1 and epoch >= settings.neighbours_from * settings.epochs:
            rng = np.random.default_rng([seed, epoch])
            if settings.neighbours_by == "order":
                order = runs_in_order(batches.groups, settings.neighbours, rng)
            else:
                order = alike_order(
                    model, samples, settings.batch, settings.neighbours, device, rng
                )
        model.train()
        total = torch.zeros((), device=device)
        for number, chosen in enumerate(batches.epoch(epoch, order)):
            step = epoch * len(batches) + number
            lr = settings.lr * learning_rate_factor(settings.schedule, step, steps, settings.warmup)
            batch = move(model.collate(chosen), device)
            loss = train_step(model, batch, optimizer, settings, lr, device)
            total += loss
            watcher.stepped(loss.item, len(chosen))
        mean_loss = total.item() / len(batches)
        if not torch.isfinite(total):
            raise MMBenchError(
                f"the loss became {mean_loss} in epoch {epoch + 1}. "
                "Lower the learning rate: --set train.lr=..."
            )
        trained = time.perf_counter() - began
        value = score()
        entry = {
            "epoch": epoch + 1,
            "loss": mean_loss,
            "lr": lr,
            "validation": value,
            "train_seconds": trained,
            "samples_per_second": len(samples) / trained,
        }
        progress.log.append(entry)
        if not best or value > progress.best_score:
            best = {name: t.detach().clone() for name, t in model.state_dict().items()}
            progress.best_epoch, progress.best_score = epoch + 1, value
        progress.epoch = epoch + 1
        progress.seconds += time.perf_counter() - began
        save_state(folder, model, optimizer, best, progress)
        watcher.finished_epoch(entry)
    model.load_state_dict(best)
    return Trained(
        seconds=progress.seconds,
        train_samples=len(samples),
        samples_per_second=_throughput(progress.log, len(samples)),
        best_epoch=progress.best_epoch,
        best_score=progress.best_score,
        log=progress.log,
    )


def _check_neighbours(model: TaskModel, settings: Train) -> None:
    if settings.batch % settings.neighbours:
        raise MMBenchError(
            f"train.neighbours must divide train.batch: {settings.neighbours} does not divide "
            f"{settings.batch}"
        )
    mined = settings.neighbours > 1 and settings.neighbours_by == "model"
    if mined and type(model).alike is TaskModel.alike:
        raise MMBenchError(
            "train.neighbours is for models that compare samples with each other, as those of "
            "retrieval do. Leave it at 1."
        )


def _throughput(log: list[dict[str, Any]], samples: int) -> float:
    return samples * len(log) / sum(entry["train_seconds"] for entry in log)
