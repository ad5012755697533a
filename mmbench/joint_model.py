"""A model of several tasks: their models, with the encoders and the fusion in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmbench import registry
from mmbench.checkpoint import Checkpoint
from mmbench.errors import MMBenchError
from mmbench.model import TaskModel
from mmbench.parts import build_fusion
from mmbench.recipe import Recipe
from mmbench.sharing import sharing
from mmbench.task import Task
from mmbench.yaml_file import validate

WORDS = "words"  # what tasks call the words among a model's assets


class JointModel(nn.Module):
    """One set of weights that answers several tasks.

    Each task's model is what that task composes, but that all of them hold the same encoders, by
    modality, and call one fusion, for the contexts of all of them; the rest of a task's model
    (its decoder) is its own. In parameters and state each tensor stands once:
    `encoders.image.*`, `fusion.*`, `models.vqa.decoder.*`.

    Args:
        tasks: by name; models are built in the order of the names.
        recipes: of each task, resolved for it.
        assets: of each task; those with words have the same ones.
    Raises: MMBenchError if tasks ask for different encoders, or share nothing.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        recipes: Mapping[str, Recipe],
        assets: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__()
        models: dict[str, TaskModel] = {}
        with sharing() as shared:
            for name in sorted(tasks):
                shared.whose = name
                models[name] = tasks[name].build(recipes[name], assets[name])
        if not shared.encoders and not shared.fusions:
            raise MMBenchError(
                f"{' and '.join(sorted(tasks))} have no part in common: train each by itself"
            )
        self.encoders = nn.ModuleDict(dict(sorted(shared.encoders.items())))
        self.fusion: nn.Module | None = None
        if shared.fusions:
            self.fusion = build_fusion(recipes[min(tasks)], shared.contexts)
            for fusion in shared.fusions:
                fusion.share(self.fusion)
        self.models = nn.ModuleDict(models)
        for model in (*models.values(), self):
            _keep_each_tensor_once(model)

    def of(self, task: str) -> TaskModel:
        """The model of a task."""
        model = self.models[task]
        assert isinstance(model, TaskModel)
        return model


def with_words_of_all(assets: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each task's model must know, with the words that any of them knows.

    Args:
        assets: by task, what it must know by itself.
    """
    words: dict[str, None] = {}
    for own in assets.values():
        if isinstance(known := own.get(WORDS), list):
            words |= dict.fromkeys(known)
    return {
        name: {**own, WORDS: list(words)} if isinstance(own.get(WORDS), list) else dict(own)
        for name, own in assets.items()
    }


def _keep_each_tensor_once(model: nn.Module) -> None:
    """Let a model's state hold a tensor that has several names under the first of them alone."""
    first: dict[int, str] = {}
    second: dict[str, str] = {}
    named: list[tuple[str, Tensor]] = [*model.named_parameters(remove_duplicate=False)]
    for name, tensor in [*named, *model.named_buffers(remove_duplicate=False)]:
        if (one := first.setdefault(id(tensor), name)) != name:
            second[name] = one

    def drop(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
        for name in second:
            state.pop(prefix + name, None)

    def add(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
        for name, one in second.items():
            if prefix + one in state:
                state[prefix + name] = state[prefix + one]

    model.register_state_dict_post_hook(drop)
    model.register_load_state_dict_pre_hook(add)


def new_joint_model(
    checkpoint: Checkpoint, recipes: Mapping[str, Recipe] | None = None
) -> JointModel:
    """The model of all tasks of a checkpoint, with weights as torch's generator draws them.

    Args:
        checkpoint: of several tasks.
        recipes: by task, another recipe than the checkpoint's own, such as one that searches
            otherwise for a caption.
    Raises: MMBenchError if it does not fit.
    """
    recipes, found, tasks = recipes or {}, {}, {}
    for name, settings in checkpoint.recipe["tasks"].items():
        known = {key: settings[key] for key in Recipe.model_fields if key in settings}
        found[name] = recipes.get(name) or validate(Recipe, known, checkpoint.path)
        tasks[name] = registry.load("tasks", name)()
    try:
        return JointModel(tasks, found, checkpoint.assets["tasks"])
    except MMBenchError as error:
        if not recipes:
            raise
        raise MMBenchError(
            f"{checkpoint.path} does not fit the recipe: {error}. Name the recipe that it was "
            "trained with, or train anew with --train"
        ) from None
    except (KeyError, TypeError):
        raise MMBenchError(
            f"{checkpoint.path} lacks what a model of {' and '.join(tasks)} is built from"
        ) from None


def restored_joint_model(
    checkpoint: Checkpoint, recipes: Mapping[str, Recipe] | None = None
) -> JointModel:
    """The model of all tasks that a checkpoint holds the weights of; see `new_joint_model`."""
    model = new_joint_model(checkpoint, recipes)
    checkpoint.restore(model)
    return model
