"""What trials of tuning try: by dotted key of a recipe, a list of values or a range of numbers.

search:
  train.lr: {low: 1.0e-4, high: 1.0e-2, log: true}
  fusion.heads: [2, 4, 8]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from mmbench.errors import MMBenchError, brief, did_you_mean
from mmbench.recipe import Recipe, Train
from mmbench.versions import part_defaults
from mmbench.yaml_file import Settings, validate

if TYPE_CHECKING:
    from optuna.trial import Trial

# Options that a task takes out of a part's before the part is built.
_OF_TASKS = {"encoders": ("pooling",), "decoders": ("search", "sampling", "autoencoder")}
_DIGITS = 4  # significant ones of a tried number


class Range(Settings):
    """Numbers between two, both among them; whole ones where both ends are.

    Attributes:
        low, high: the ends.
        log: whether each power of ten is tried as often as the next.
        step: that the numbers are multiples of, above `low`.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @model_validator(mode="after")
    def _has_width(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low must be less than high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be greater than 0 where log is true, got {self.low}")
        if self.step is not None and (self.step <= 0 or self.log):
            raise ValueError("step must be greater than 0, and without log")
        return self

    def suggest(self, trial: Trial, key: str) -> int | float:
        """A number for a trial."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = int(self.step or 1)
            return trial.suggest_int(key, self.low, self.high, log=self.log, step=step)
        found = trial.suggest_float(key, self.low, self.high, log=self.log, step=self.step)
        return float(f"{found:.{_DIGITS}g}")

    def given(self, value: Any) -> Any:
        """A value as the sampler knows it; None if it is not one of these."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if number and self.low <= value <= self.high else None


@dataclass(frozen=True)
class Choice:
    """Values, in any order."""

    values: Sequence[Any]

    def suggest(self, trial: Trial, key: str) -> Any:
        """One for a trial."""
        return self.values[trial.suggest_categorical(key, list(range(len(self.values))))]

    def given(self, value: Any) -> Any:
        """The place of a value, which the sampler knows it by; None if it is not among these."""
        return self.values.index(value) if value in self.values else None


Space = Mapping[str, Range | Choice]

USUAL: Space = {
    "train.lr": Range(low=1e-4, high=1e-2, log=True),
    "train.weight_decay": Range(low=1e-4, high=0.3, log=True),
    "train.dropout": Range(low=0.0, high=0.5),
}


def read_space(values: Mapping[str, Any], origin: str) -> dict[str, Range | Choice]:
    """The space that a file describes.

    Args:
        values: by key, a list, or a mapping as `Range` has it.
        origin: what an error calls the file.
    Raises: MMBenchError that names the key that is wrong.
    """
    space: dict[str, Range | Choice] = {}
    for key, value in values.items():
        here = f"{origin}: search.{key}"
        if isinstance(value, dict):
            space[key] = validate(Range, value, here)
        elif isinstance(value, list) and value:
            space[key] = Choice(tuple(value))
        else:
            raise MMBenchError(
                f"{here} must be a list of values, or a range as in {{low: 1, high: 8}}, "
                f"got {brief(value)}"
            )
    return space


def check_space(keys: Iterable[str], recipe: Recipe, origin: str) -> None:
    """Refuse a space with a key that a resolved recipe does not have.

    Raises: MMBenchError that names the nearest key.
    """
    known, parts = ["width", *(f"train.{name}" for name in Train.model_fields)], recipe.parts()
    for key, (kind, part) in parts.items():
        options = [*part_defaults(kind, part.name)[0], *_OF_TASKS.get(kind, ())]
        known += [key, *(f"{key}.{option}" for option in options)]
    for key in keys:
        below = any(key.startswith(f"{name}.") for name in known if name not in parts)
        # Which losses there are, the fusion says when it is built.
        if not (key in known or below or key.startswith("losses.")):
            raise MMBenchError(
                f"{origin}: the space names a key '{key}', which this model does not have."
                f"{did_you_mean(key, known)} It has width, train.* and the options of its parts."
            )


def setting_of(recipe: Recipe, key: str) -> Any:
    """What a resolved recipe has at a key, its part's default where it says nothing; None if none.

    >>> setting_of(Recipe(), "train.lr"), setting_of(Recipe(), "train.nothing")
    (0.002, None)
    """
    if key == "width":
        return recipe.width
    if key.startswith("train."):
        return getattr(recipe.train, key.removeprefix("train."), None)
    for name, (kind, part) in recipe.parts().items():
        if key == name:
            return part.name
        if key.startswith(f"{name}."):
            option = key.removeprefix(f"{name}.")
            return (part_defaults(kind, part.name)[0] | part.options).get(option)
    return None
