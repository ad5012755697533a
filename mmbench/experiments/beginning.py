"""What a training begins from: what its model knows of words, and parts of a checkpoint (`--init`).

Parts are taken by name, whole: one whose tensors have other shapes here stays new. Words are the
exception: a model that begins from a checkpoint knows the checkpoint's words first and in their
order, so that a text encoder with more words takes the vectors of those that it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mmbench import registry
from mmbench.checkpoint import MODELS, Checkpoint
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.experiments.plan import Plan
from mmbench.joint_model import WORDS
from mmbench.model import part_of
from mmbench.recipe import Recipe
from mmbench.stages import Stage
from mmbench.training.objectives.content import by_group

_LEAST = 5  # times that a word of another dataset must appear for a model to know it
_SHOWN = 3  # tensors that do not fit


def assets_of(plan: Plan) -> dict[str, Any]:
    """What the model must know besides its weights: the task's, with the words of other sources.

    After the words of the checkpoint that training begins from come those of the run's data, and
    then those of texts that stages are trained on besides.
    """
    assert plan.train is not None
    assets = plan.task.assets(plan.train)
    words = assets.get(WORDS)
    if not isinstance(words, list):
        return assets
    before = plan.init.assets.get(WORDS, []) if plan.init and _knows_words(plan) else []
    known = dict.fromkeys([*before, *words])
    for stage in plan.recipe.stages:
        source = plan.sources.get(stage.name)
        if source is not None and source.data.elsewhere and _reads_texts(stage):
            texts = [t for found in by_group(source.train, "text").values() for t in found]
            known |= dict.fromkeys(Vocabulary.of(texts, _LEAST).words)
    return {**assets, WORDS: list(known)}


def _knows_words(plan: Plan) -> bool:
    """Whether the checkpoint that training begins from has a text encoder or writes texts."""
    assert plan.init is not None
    encoders = plan.init.recipe.get("encoders") or {}
    return encoders.get("text") is not None or plan.init.about.get("task") == plan.task.name


def _reads_texts(stage: Stage) -> bool:
    return any(registry.load("objectives", name).reads_texts for name in stage.objective)


@dataclass
class Begun:
    """What a model took of a checkpoint.

    Attributes:
        taken: its parts that begin from the checkpoint.
        unfit: its parts that the checkpoint has otherwise, and how.
        new: its parts that the checkpoint does not have.
        left: parts of the checkpoint that the model does not have.
    """

    taken: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        """All of it, in a line."""
        named = (
            ("taken", self.taken),
            ("does not fit, so new", self.unfit),
            ("new", self.new),
            ("not of this model", self.left),
        )
        return "; ".join(f"{what}: {', '.join(parts)}" for what, parts in named if parts)


def begin_from(
    model: nn.Module,
    checkpoint: Checkpoint,
    recipe: Recipe,
    assets: Mapping[str, Any],
    recipes: Mapping[str, Recipe] | None = None,
) -> Begun:
    """Put those parts of a checkpoint into a new model that fit it.

    Args:
        model: to be trained, built of the recipe and assets.
        checkpoint: whose weights it begins from.
        recipes: of a model of several tasks, by task, that of the parts which it has alone.
    Raises: MMBenchError if no part fits.
    """
    here, there = _by_part(model.state_dict()), _by_part(checkpoint.tensors)
    begun = Begun(left=[part for part in there if part not in here])
    merged: dict[str, Tensor] = {}
    for part, tensors in here.items():
        if part not in there:
            begun.new.append(part)
            continue
        grown = len(assets.get(WORDS, ())) - len(checkpoint.assets.get(WORDS, ()))
        fitted = {
            name: _fitted(tensor, there[part].get(name), grown if part == "encoders.text" else 0)
            for name, tensor in tensors.items()
        }
        if part.startswith(f"{MODELS}."):
            _, task, own = part.split(".")
            theirs = checkpoint.of(task)
            why = _other_part(own, (recipes or {})[task], theirs)
            why = why or _other_answers(own, assets["tasks"][task], theirs)
        else:
            why = _other_part(part, recipe, checkpoint) or _other_answers(part, assets, checkpoint)
        if why or any(tensor is None for tensor in fitted.values()):
            begun.unfit.append(f"{part} ({why or _misfits(tensors, there[part], fitted)})")
            continue
        begun.taken.append(part)
        merged |= {name: tensor for name, tensor in fitted.items() if tensor is not None}
    if not begun.taken:
        raise MMBenchError(
            f"--init {checkpoint.path} fits no part of this model: "
            f"{begun.words or 'it holds none'}. Name a checkpoint of a model with such parts"
        )
    model.load_state_dict(model.state_dict() | merged)
    return begun


def _by_part(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        of_task = name.startswith(f"{MODELS}.") and name.count(".") > 2
        part = ".".join(name.split(".")[:3]) if of_task else part_of(name)
        found.setdefault(part, {})[name] = tensor
    return found


def _fitted(new: Tensor, old: Tensor | None, grown: int) -> Tensor | None:
    """The checkpoint's tensor as the model takes it; None where it does not fit.

    Args:
        grown: how many words the model knows more; rows of these stay new.
    """
    if old is None:
        return None
    if old.shape == new.shape:
        return old.to(new.dtype)
    rows = old.shape[:1] != new.shape[:1] and len(new) - len(old) == grown > 0
    if not rows or old.shape[1:] != new.shape[1:]:
        return None
    made = new.clone()
    made[: len(old)] = old.to(new.dtype)
    return made


def _other_part(part: str, recipe: Recipe, checkpoint: Checkpoint) -> str:
    """Why a part of the same shapes is another all the same; nothing if it is not."""
    ours = {key: found.name for key, (_, found) in recipe.parts().items()}.get(part)
    key, _, modality = part.partition(".")
    theirs = checkpoint.recipe.get(key)
    theirs = (theirs or {}).get(modality) if modality else theirs
    name = (theirs or {}).get("name")
    return f"it is {name} there and {ours} here" if ours and name and ours != name else ""


def _other_answers(part: str, assets: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """Why a decoder of the same shapes answers otherwise; nothing if it does not."""
    if part != "decoder":
        return ""
    other = [
        key
        for key, value in assets.items()
        if key != WORDS and isinstance(value, list) and checkpoint.assets.get(key) != value
    ]
    return f"its {other[0]} are others" if other else ""


def _misfits(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], fitted: Mapping[str, Tensor | None]
) -> str:
    """The first tensors that do not fit, and why."""
    names = [name for name, tensor in fitted.items() if tensor is None]
    shown = [
        f"{name} is missing"
        if name not in theirs
        else f"{name} is {tuple(theirs[name].shape)} there and {tuple(ours[name].shape)} here"
        for name in names[:_SHOWN]
    ]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown) + more
