"""What is said of a setting that there is not: the nearest option, or the recipe's key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_NEAR = 0.7
_OTHERWISE = {  # what other programs call settings
    "learning_rate": "train.lr",
    "dim": "width",
    "hidden_size": "width",
    "num_epochs": "train.epochs",
    "train_batch_size": "train.batch",
}


def near_option(name: str, value: str, options: Iterable[str]) -> str:
    """' Did you mean --set train.epochs=3?' or another option, or '' where none is near.

    Args:
        name: as it was written ("--epochs").
        value: that was written for it.
        options: that there are ("--batch-size"); `--set` among them takes the recipe's keys.
    """
    options = set(options)
    keys = _recipe_keys() if "--set" in options else {}
    plain = name.lstrip("-").replace("-", "_")
    hint = ""
    if plain in keys:
        hint = f"--set {keys[plain]}={value}"
    elif near := difflib.get_close_matches(name, options, n=1, cutoff=_NEAR):
        hint = near[0]
    elif near := difflib.get_close_matches(plain, keys, n=1, cutoff=_NEAR):
        hint = f"--set {keys[near[0]]}={value}"
    return f" Did you mean {hint}?" if hint else ""


def _recipe_keys() -> dict[str, str]:
    """The keys that `--set` takes, by what a person may call them: its last word, or all of it."""
    from mmbench.recipe import Recipe, Train

    about = ("title", "summary", "source", "search", "train")
    keys = {key: key for key in Recipe.model_fields if key not in about}
    keys |= {f"train_{key}": f"train.{key}" for key in Train.model_fields}
    keys |= {f"train.{key}": f"train.{key}" for key in Train.model_fields}
    return {key: f"train.{key}" for key in Train.model_fields} | keys | _OTHERWISE
