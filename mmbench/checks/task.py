"""What every task must keep, tried on its default dataset: see `mmbench.task.Task`.

Each check is a function of a way to make one: `make()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from mmbench import registry
from mmbench.checks.contract import require, require_finite
from mmbench.data.sample import SampleSet
from mmbench.errors import MMBenchError
from mmbench.model import TaskModel
from mmbench.recipe import Recipe
from mmbench.task import Task

_SAMPLES = 12
_WIDTH = 16


class Tried:
    """A task, some of its samples, and models for it.

    Args:
        task: that is checked.
        width: of the models.
    """

    def __init__(self, task: Task, width: int) -> None:
        self.task = task
        self.width = width
        self.dataset = task.dataset()
        self._read: dict[str, SampleSet] = {}

    def samples(self, split: str) -> SampleSet:
        """All samples of a split, read once."""
        if split not in self._read:
            self._read[split] = self.task.load(self.dataset, split)
        return self._read[split]

    def model(self, seed: int = 0) -> TaskModel:
        """A model with the task's own encoders and decoder, and with a fusion if it needs one."""
        torch.manual_seed(seed)
        assets = self.task.assets(self.samples("train"))
        several = len(self.task.encoders) > 1
        recipe = Recipe.model_validate(
            {"fusion": "concat" if several else None, "width": self.width}
        )
        return self.task.build(self.task.resolve(recipe, self.dataset), assets).eval()


Make = Callable[[], Tried]


def task_maker(name: str, options: Mapping[str, Any], width: int | None = None) -> Make:
    """A way to try a task: `make()`.

    Args:
        name: registered.
        options: none.
        width: of its models; 16 if None.
    Raises: MMBenchError for options.
    """
    if options:
        raise MMBenchError(f"a task takes no options, got {', '.join(options)}")
    tried = Tried(registry.load("tasks", name)(), width or _WIDTH)
    return lambda: tried


def check_what_it_says(make: Make) -> None:
    """Its name, inputs and metrics are said, and its metrics and parts exist."""
    task = make().task
    for attribute in ("name", "inputs", "default_dataset", "metrics", "encoders", "decoder"):
        require(bool(getattr(task, attribute, None)), f"it does not say its `{attribute}`")
    for metric in task.metrics:
        registry.check("metrics", metric)


def check_samples(make: Make) -> None:
    """Samples have the inputs that it names, a target, and an id of their own."""
    tried = make()
    for split in ("train", "validation", tried.dataset.evaluate_on):
        samples = tried.samples(split)
        require(len(samples) > 0, f"{split} holds no sample")
        require(len({s.id for s in samples}) == len(samples), f"two of {split} have one id")
        lacking = [n for n in samples[0].inputs if n not in tried.task.inputs]
        require(not lacking, f"samples have inputs {lacking} that `inputs` does not name")
        require(samples[0].target is not None, f"{samples[0].id} has no target")


def check_losses(make: Make) -> None:
    """A model's losses on a batch of training are finite scalars, and reach what it trains."""
    tried = make()
    model = tried.model().train()
    samples = tried.samples("train")[:_SAMPLES]
    losses = model.losses(model.collate_training(samples, np.random.default_rng(0)))
    require(bool(losses), "it gives no loss")
    for key, loss in losses.items():
        require(loss.ndim == 0, f"the loss {key} is no scalar")
        require_finite(loss, f"the loss {key}")
    torch.stack(list(losses.values())).sum().backward()
    idle = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    require(not idle, f"no gradient reaches {', '.join(idle[:3])}")


def check_answers(make: Make) -> None:
    """An answer for each query, the same in any batch, that each metric can score."""
    tried = make()
    model, samples = tried.model(), tried.samples(tried.dataset.evaluate_on)[:_SAMPLES]
    queries = [sample.query for sample in samples]
    with torch.inference_mode():
        answers = list(model.answer(model.collate(queries)))
        alone = [a for query in queries for a in model.answer(model.collate([query]))]
    require(len(answers) == len(queries), f"{len(answers)} answers to {len(queries)} queries")
    if not tried.task.answers_by_sample or tried.task.answer_kind != "text":
        return
    require(answers == alone, "an answer depends on the others of its batch")
    targets = [sample.target for sample in samples]
    for name in tried.task.metrics:
        metric = registry.load("metrics", name)()
        rows = len(metric.statistics(answers, targets))
        require(rows == len(samples), f"{name} gives {rows} rows of {len(samples)} samples")


CHECKS = (check_what_it_says, check_samples, check_losses, check_answers)
