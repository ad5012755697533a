"""The model whose encoders are probed: found by name, read, built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmbench import registry
from mmbench.checkpoint import Checkpoint, read_checkpoint, shipped_weights
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.joint_model import new_joint_model, restored_joint_model
from mmbench.model import TaskModel
from mmbench.recipe import MODALITIES, Recipe
from mmbench.task import Task
from mmbench.training.objectives.base import encoders_of
from mmbench.yaml_file import validate
from mmbench.zoo.encoders.base import Encoder


@dataclass(frozen=True)
class ProbedCheckpoint:
    """A checkpoint, and what its model is built from.

    Attributes:
        name: as it was named.
        weights: with what the file says of them.
        task: that it was trained for; of several the one that was named, or that reads most.
        recipe: of its model.
    """

    name: str
    weights: Checkpoint
    task: Task
    recipe: Recipe

    @property
    def model(self) -> str:
        """The name of its recipe, or where the file does not say so of the file."""
        return str(self.weights.about.get("model") or Path(self.name).stem)

    def build(self) -> TaskModel:
        """Its model, with weights as torch's generator draws them."""
        if len(self.weights.tasks) > 1:
            return new_joint_model(self.weights).of(self.task.name)
        model: TaskModel = self.task.build(self.recipe, self.weights.assets)
        return model

    def restore(self, model: TaskModel) -> None:
        """Put the weights into a model that `build` made.

        Raises: MMBenchError if they do not fit.
        """
        if len(self.weights.tasks) > 1:
            whole = restored_joint_model(self.weights)
            model.load_state_dict(whole.of(self.task.name).state_dict())
        else:
            self.weights.restore(model)

    def encoder(self, model: TaskModel, modality: str) -> Encoder:
        """The model's encoder of a modality.

        Raises: MMBenchError if it has none.
        """
        encoders = encoders_of(model)
        if modality not in encoders:
            raise MMBenchError(
                f"{self.name} has no encoder for {modality}: it has "
                f"{', '.join(encoders) or 'none'}. Name one of them as --modality"
            )
        return encoders[modality]


def find_probed(encoder: str, task: str | None, dataset: str) -> ProbedCheckpoint:
    """The checkpoint that a name stands for.

    Args:
        encoder: a checkpoint (`weights.safetensors`), the folder that it lies in, or a recipe with
            shipped weights.
        task: of a recipe, whose weights are meant; the first that has some if None.
        dataset: whose weights come first, of several.
    Raises: MMBenchError if there is none, or it cannot be read.
    """
    path = _file(encoder, task, dataset)
    weights = read_checkpoint(path)
    name = task if task in weights.tasks else _reads_most(weights)
    whose: Task = registry.load("tasks", name)()
    said = weights.of(name).recipe
    known = {key: said[key] for key in Recipe.model_fields if key in said}
    return ProbedCheckpoint(encoder, weights, whose, validate(Recipe, known, str(path)))


def _reads_most(weights: Checkpoint) -> str:
    """Of a checkpoint's tasks, the first whose model has the most encoders."""

    def encoders(task: str) -> int:
        return sum(part is not None for part in weights.of(task).recipe["encoders"].values())

    return weights.tasks[0] if len(weights.tasks) == 1 else max(weights.tasks, key=encoders)


def check_modality(modality: str) -> None:
    """Raise MMBenchError if there is no such modality."""
    if modality not in MODALITIES:
        raise MMBenchError(
            f"no modality '{modality}'.{did_you_mean(modality, MODALITIES)} There is "
            f"{', '.join(MODALITIES)}."
        )


def _file(encoder: str, task: str | None, dataset: str) -> Path:
    if not registry.has("recipes", encoder):
        if encoder.endswith((".yaml", ".yml")) or not Path(encoder).exists():
            known = registry.names("recipes")
            raise MMBenchError(
                f"--encoder names a checkpoint (weights.safetensors) or a recipe with shipped "
                f"weights, and {encoder} is neither.{did_you_mean(encoder, known)} Train a recipe "
                "with `mmbench run --train` and name the weights.safetensors of its record"
            )
        path = Path(encoder)
        return path / "weights.safetensors" if path.is_dir() else path
    tasks = [task] if task else registry.names("tasks")
    sets = dict.fromkeys([Path(dataset).stem, *registry.names("datasets")])
    for place in ((t, d) for t in tasks for d in sets):
        if (path := shipped_weights(*place, encoder)).exists():
            return path
    raise MMBenchError(
        f"{encoder} has no shipped weights{f' for {task}' if task else ''}: train it with `mmbench "
        "run --train` and name the weights.safetensors of its record as --encoder"
    )
