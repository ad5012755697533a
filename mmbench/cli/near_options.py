"""What is said of an option that a command does not have: the nearest one, or the recipe's key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

_NEAR = 0.7
_OTHERWISE = {  # what other programs call settings
    "learning_rate": "train.lr",
    "dim": "width",
    "hidden_size": "width",
    "num_epochs": "train.epochs",
    "train_batch_size": "train.batch",
}


def unknown_option(name: str, args: Sequence[str], params: Iterable[Any], command: str) -> str:
    """That there is no such option, and what to write in its place.

    Args:
        name: as it was written ("--epochs").
        args: all that was written.
        params: of the command.
        command: how it is called ("mmbench run").
    """
    options = {option for param in params for option in param.opts if option.startswith("-")}
    keys = _recipe_keys() if "--set" in options else {}
    plain = name.lstrip("-").replace("-", "_")
    hint = ""
    if plain in keys:
        hint = f"--set {keys[plain]}={_value_after(name, args)}"
    elif near := difflib.get_close_matches(name, options, n=1, cutoff=_NEAR):
        hint = near[0]
    elif near := difflib.get_close_matches(plain, keys, n=1, cutoff=_NEAR):
        hint = f"--set {keys[near[0]]}={_value_after(name, args)}"
    meant = f" Did you mean {hint}?" if hint else ""
    return f"no such option {name}.{meant} `{command} --help` shows all."


def _recipe_keys() -> dict[str, str]:
    """The keys that `--set` takes, by what a person may call them: its last word, or all of it."""
    from mmbench.recipe import Recipe, Train

    about = ("title", "summary", "source", "search", "train")
    keys = {key: key for key in Recipe.model_fields if key not in about}
    keys |= {f"train_{key}": f"train.{key}" for key in Train.model_fields}
    keys |= {f"train.{key}": f"train.{key}" for key in Train.model_fields}
    return {key: f"train.{key}" for key in Train.model_fields} | keys | _OTHERWISE


def _value_after(name: str, args: Sequence[str]) -> str:
    """The value that was written for an option; VALUE where there is none."""
    for place, written in enumerate(args):
        if written.startswith(f"{name}="):
            return written.partition("=")[2]
        if written == name and place + 1 < len(args) and not args[place + 1].startswith("--"):
            return args[place + 1]
    return "VALUE"
