"""What a run is: everything that decides its result, settled before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmbench import registry
from mmbench.data.dataset import DatasetSpec
from mmbench.data.sample import SampleSet
from mmbench.errors import MMBenchError
from mmbench.experiments.score import load_metrics
from mmbench.metrics.base import Metric
from mmbench.model import Checkpoint, read_checkpoint
from mmbench.recipe import Recipe, Train, digest, load_recipe
from mmbench.records.record import Weights
from mmbench.task import Task
from mmbench.yaml_file import validate

Source = Literal["shipped", "checkpoint"]


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        task, dataset, recipe: as found; the recipe is resolved for the task.
        model: the recipe's name.
        overrides: what was changed in it.
        samples: to score.
        train, validation: the splits that it learns from; None where the weights are there.
        metrics: the dataset's, or else the task's.
        weights: where the weights are from.
        checkpoint: they themselves, where they are there.
        seed: of initialisation, batches and dropout.
    """

    task: Task
    dataset: DatasetSpec
    recipe: Recipe
    model: str
    overrides: Mapping[str, Any]
    samples: SampleSet
    train: SampleSet | None
    validation: SampleSet | None
    metrics: list[Metric]
    weights: Weights
    checkpoint: Checkpoint | None
    seed: int

    def hash(self) -> str:
        """The run's identity: of all that decides the result but the seed."""
        used = {"train": self.train, "validation": self.validation}
        return digest(
            {
                "task": self.task.name,
                "dataset": self.dataset.name,
                "split": self.samples.split,
                "limit": self.samples.limit,
                "fingerprint": self.samples.fingerprint,
                "metrics": [metric.signature for metric in self.metrics],
                "recipe": self.recipe.settings(),
                "weights": self.weights.sha256 or self.weights.source,
                "fitted_on": {name: s.fingerprint for name, s in used.items() if s is not None},
            }
        )


def make_plan(
    task_name: str,
    model: str,
    dataset: str | None,
    split: str | None,
    train: bool,
    seed: int,
    overrides: Mapping[str, Any] | None,
    limit: int | None,
    checkpoint_path: str | Path | None,
    data_dir: str | Path | None = None,
    skip_bad: bool = False,
    allow_hub_code: bool = False,
) -> Plan:
    """Find everything by name and check that it fits; see `mmbench.run` for the arguments.

    Raises: MMBenchError for whatever does not exist or does not fit.
    """
    task: Task = registry.load("tasks", task_name)()
    spec = task.dataset(dataset, data_dir, skip_bad)
    recipe = task.resolve(load_recipe(model, overrides), spec)
    spec = task.adapt(spec, recipe)
    checkpoint = None
    if recipe.predictor:
        if checkpoint_path is not None:
            raise MMBenchError(f"{model} has no weights, so it takes no --checkpoint")
        weights = Weights(source="none")
    elif train:
        weights = Weights(source="trained")
    else:
        checkpoint, source = _find_checkpoint(task, spec, recipe, model, seed, checkpoint_path)
        name = Path(checkpoint.path).name
        weights = Weights(source=source, sha256=checkpoint.sha256, file=name)
    needs_training_data = train or recipe.predictor is not None
    return Plan(
        task=task,
        dataset=spec,
        recipe=recipe,
        model=Path(model).stem if model.endswith((".yaml", ".yml")) else model,
        overrides=dict(overrides or {}),
        samples=task.load(spec, split or spec.evaluate_on).limited(limit, task.limit_groups),
        train=task.load(spec, "train") if needs_training_data else None,
        validation=task.load(spec, "validation") if train and not recipe.predictor else None,
        metrics=load_metrics(spec.metrics or task.metrics, allow_hub_code),
        weights=weights,
        checkpoint=checkpoint,
        seed=seed,
    )


def shipped_weights(task: str, dataset: str, model: str) -> Path:
    """Where a recipe's package ships its weights for a dataset."""
    folder = registry.path("recipes", model).parent
    return folder / "weights" / task / dataset / f"{Path(model).stem}.safetensors"


def _find_checkpoint(
    task: Task,
    dataset: DatasetSpec,
    recipe: Recipe,
    model: str,
    seed: int,
    path: str | Path | None,
) -> tuple[Checkpoint, Source]:
    """The checkpoint that was named, or the shipped one; its recipe must be the one asked for."""
    place = f"{task.name}/{dataset.name}"
    source: Source = "shipped" if path is None else "checkpoint"
    if path is not None:
        checkpoint = read_checkpoint(Path(path))
    else:
        shipped = shipped_weights(task.name, dataset.name, model)
        if not shipped.exists():
            raise MMBenchError(
                f"{model} has no trained weights for {place}. "
                "Train them with --train, or name some with --checkpoint."
            )
        checkpoint = read_checkpoint(shipped)
        if checkpoint.about.get("seed") != seed:
            raise MMBenchError(
                f"the weights shipped for {model} on {place} are of seed "
                f"{checkpoint.about.get('seed')}. Train seed {seed} with --train."
            )
    if checkpoint.about.get("task") != task.name:
        raise MMBenchError(
            f"{checkpoint.path} was trained for {checkpoint.about.get('task')}, not {task.name}"
        )
    if source == "shipped":
        # A setting that is newer than the weights had what is its default.
        trained = validate(Train, checkpoint.recipe["train"], str(checkpoint.path)).model_dump()
        for key, asked in recipe.train.model_dump().items():
            if trained[key] != asked:
                raise MMBenchError(
                    f"the weights shipped for {model} were trained with other settings "
                    f"(train.{key}={trained[key]}). Train them as asked with --train."
                )
    return checkpoint, source
