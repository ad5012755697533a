"""References: models that fuse nothing, which a study compares beside the fusions.

They are trained as the models that are asked for: where all of those agree on an encoder, a decoder
or a setting of training, a reference that leaves it open takes it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmbench import registry
from mmbench.data.dataset import DatasetSpec
from mmbench.experiments.plan import recipe_name
from mmbench.recipe import Part, Recipe, Train, load_recipe
from mmbench.task import Task

_OF_FUSION = ("fusion", "losses", "balance", "train.modality_dropout")


@dataclass(frozen=True)
class Reference:
    """A reference: one of the models that are asked for, or one to be run beside them.

    Attributes:
        model: the recipe.
        overrides: of it; None for a model that is asked for.
    """

    model: str
    overrides: dict[str, Any] | None


def references_for(
    task: Task,
    dataset: DatasetSpec,
    names: Sequence[str],
    asked: Mapping[str, Recipe],
    overrides: Mapping[str, Any],
) -> list[Reference]:
    """The references of a dataset, as they are to be run beside some models.

    Args:
        task, dataset: what is asked.
        names: recipes; usually `task.references(dataset)`.
        asked: the models' resolved recipes, by name.
        overrides: what was changed of all models; a reference takes what it can.
    Raises: MMBenchError if one does not exist or does not fit.
    """
    found: list[Reference] = []
    for name in names:
        if recipe_name(name) in asked:
            found.append(Reference(recipe_name(name), None))
            continue
        own = load_recipe(name)
        fitting = _fitting(own, overrides)
        resolved = task.resolve(load_recipe(name, fitting), dataset)
        equal = _agreed(own, resolved, list(asked.values()))
        resolved = task.resolve(load_recipe(name, fitting | equal), dataset)
        same = next((m for m, r in asked.items() if r.settings() == resolved.settings()), None)
        if same is not None:
            found.append(Reference(same, None))
            continue
        for other in registry.names("recipes"):  # a frozen encoder's has a name of its own
            if equal and other.startswith(f"{name}_"):
                twin = task.resolve(load_recipe(other, fitting), dataset)
                if twin.settings() == resolved.settings():
                    name, equal = other, {}
                    break
        found.append(Reference(name, fitting | equal))
    return found


def _fitting(recipe: Recipe, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Those that a recipe that fuses nothing can take: of no part that it does not have."""
    if recipe.predictor:
        return {}
    dropped = [f"encoders.{m}" for m, part in recipe.encoders.items() if part is None]
    without = (*_OF_FUSION, *dropped)
    return {
        key: value
        for key, value in overrides.items()
        if not any(key == name or key.startswith(f"{name}.") for name in without)
    }


def _agreed(own: Recipe, resolved: Recipe, asked: Sequence[Recipe]) -> dict[str, Any]:
    """What all trained models have alike and a reference leaves open, as overrides of it.

    The width too, which recipes usually name: a reference is as wide as the models are.

    Args:
        own: the reference as its file has it.
        resolved: with the task's and the dataset's defaults.
        asked: the models, resolved.
    """
    models = [recipe for recipe in asked if not recipe.predictor]
    if own.predictor or not models:
        return {}
    changes: dict[str, Any] = {}
    if all(recipe.width == models[0].width for recipe in models):
        _change(changes, "width", models[0].width, resolved.width)
    for key in Train.model_fields:
        values = [getattr(recipe.train, key) for recipe in models]
        free = key not in own.train.model_fields_set and f"train.{key}" not in _OF_FUSION
        if free and values.count(values[0]) == len(values):
            _change(changes, f"train.{key}", values[0], getattr(resolved.train, key))
    for modality, part in resolved.encoders.items():
        parts = [found for recipe in models if (found := recipe.encoders.get(modality))]
        if part is not None and own.encoders.get(modality) is None and _one(parts):
            _change(changes, f"encoders.{modality}", parts[0], part)
    writers = [recipe.decoder for recipe in models if recipe.decoder]
    if own.decoder is None and _one(writers):
        _change(changes, "decoder", writers[0], resolved.decoder)
    return changes


def _one(parts: Sequence[Part]) -> bool:
    return bool(parts) and all(part == parts[0] for part in parts)


def _change(changes: dict[str, Any], key: str, agreed: Any, has: Any) -> None:
    if agreed != has:
        value = {"name": agreed.name, **agreed.options} if isinstance(agreed, Part) else agreed
        changes[key] = value
