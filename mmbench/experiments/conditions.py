"""What was equal between runs that are compared and what differed, derived from their records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmbench.errors import MMBenchError
from mmbench.recipe import Train
from mmbench.records.record import Record

# What makes a training longer or shorter.
_TRAINING = ("epochs", "batch", "accumulate", "schedule", "patience")


@dataclass(frozen=True)
class Conditions:
    """What a reader must know of a comparison.

    Attributes:
        equal: what was the same in all runs, by name.
        differed: what was not, by name, with the values by model.
        marks: by model, in words, where its training is not that of most of the others.
    """

    equal: tuple[str, ...]
    differed: Mapping[str, Mapping[str, str]]
    marks: Mapping[str, str]

    def text(self) -> str:
        """In a line."""
        parts = [f"equal {', '.join(self.equal)}"] if self.equal else []
        if self.differed:
            parts.append(f"different {', '.join(self.differed)}")
        return "; ".join(parts)


def conditions(records: Mapping[str, Sequence[Record]]) -> Conditions:
    """Those of models' runs.

    Args:
        records: by model.
    """
    facts: dict[str, dict[str, str]] = {}
    for model, runs in records.items():
        for name, of in _FACTS.items():
            found = sorted({str(value) for r in runs if (value := of(r)) is not None})
            if found:
                facts.setdefault(name, {})[model] = ", ".join(found)
        for key, value in _settings(runs).items():
            facts.setdefault(key, {})[model] = value
    trials = {m: sorted({_trials(r) for r in runs if r.training}) for m, runs in records.items()}
    if any(found not in ([], [_UNTUNED]) for found in trials.values()):
        facts[_TUNING] = {m: ", ".join(found) for m, found in trials.items() if found}
    begun = {m: sorted({r.identity.init or "nothing" for r in runs}) for m, runs in records.items()}
    if any(found != ["nothing"] for found in begun.values()):
        facts[_BEGINS] = {m: ", ".join(found) for m, found in begun.items()}
    equal, differed = [], {}
    for name, by_model in facts.items():
        if len(set(by_model.values())) > 1:
            differed[name] = by_model
        elif name in _FACTS or name == _BEGINS:
            equal.append(name)
        elif name == _TUNING:
            equal.append(f"{_TUNING} ({next(iter(by_model.values()))})")
    training = [name for name in facts if name.startswith("train.")]
    if training and not any(name in differed for name in training):
        equal.append("training settings")
    marks = unequal_training({model: runs[0].recipe for model, runs in records.items() if runs})
    return Conditions(tuple(equal), differed, marks)


def unequal_training(recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """By model, in words, what of its training is not that of most of the others.

    Args:
        recipes: by model, the resolved settings; those of predictors that are not trained are left
            out.
    """
    trained = {m: r["train"] for m, r in recipes.items() if r.get("train") and not r["predictor"]}
    marks: dict[str, list[str]] = {}
    defaults = Train().model_dump(mode="json")  # of what is newer than a record
    for key in _TRAINING:
        by_model = {m: settings.get(key, defaults[key]) for m, settings in trained.items()}
        values = list(by_model.values())
        usual = max(dict.fromkeys(values), key=values.count, default=None)
        for model, value in by_model.items():
            if value != usual:
                marks.setdefault(model, []).append(f"{key} {value}, not {usual}")
    return {model: "; ".join(words) for model, words in marks.items()}


def check_mixture(records: Iterable[Record], allow: bool) -> list[str]:
    """What runs of models may not differ in when they are compared, in words.

    Args:
        records: of all runs.
        allow: whether such runs are compared all the same.
    Raises: MMBenchError for runs trained on different kinds of device, or by different versions
        of one part, unless that is allowed.
    """
    devices: set[str] = set()
    versions: dict[str, set[str]] = {}
    for record in records:
        if record.identity.device:
            devices.add(record.identity.device)
        for part, version in record.identity.parts.items():
            versions.setdefault(part, set()).add(str(version))
    mixed = [f"kinds of device ({', '.join(sorted(devices))})"] if len(devices) > 1 else []
    mixed += [
        f"versions of {part} ({', '.join(sorted(found))})"
        for part, found in sorted(versions.items())
        if len(found) > 1
    ]
    if mixed and not allow:
        raise MMBenchError(
            f"these runs are of different {' and '.join(mixed)}, so that a difference need not be "
            "the models'. Run them alike, or give --allow-mixed to compare them all the same"
        )
    return mixed


def footnotes(records: Iterable[Record]) -> list[str]:
    """Where runs ran alike only in part: other commits, versions of libraries, machines."""
    notes = []
    found: dict[str, set[str]] = {}
    for record in records:
        here = record.environment
        if here.git_commit:
            dirty = " with changes" if here.git_dirty else ""
            found.setdefault("commits of mmbench", set()).add(here.git_commit[:8] + dirty)
        for package, version in here.packages.items():
            found.setdefault(f"versions of {package}", set()).add(version)
        if record.weights.source != "elsewhere":  # whose answers were made nobody knows where
            found.setdefault("machines", set()).add(here.device_name)
        how = "compiled" if here.compiled else "as it is written"
        found.setdefault("ways to run a model", set()).add(how)
        together = record.identity.processes or 1
        found.setdefault("numbers of processes that train", set()).add(str(together))
        if record.identity.device == "cpu":
            asked = record.identity.threads
            found.setdefault("threads asked for", set()).add(str(asked) if asked else "all")
    for what, values in found.items():
        if len(values) > 1:
            notes.append(f"different {what}: {', '.join(sorted(values))}")
    return notes


def _trials(record: Record) -> str:
    """The budget of trials that a run's settings were chosen by."""
    if record.tuning is None:
        return _UNTUNED
    return f"{record.tuning.trials} trials over {', '.join(record.tuning.keys)}"


def _settings(runs: Sequence[Record]) -> dict[str, str]:
    """The resolved settings of a model by dotted key, part and options as one."""
    flat: dict[str, str] = {}
    if not runs or runs[0].recipe.get("predictor"):
        return flat
    for key, value in runs[0].recipe.items():
        if key in ("encoders", "train"):
            flat |= {f"{key}.{name}": _plain(inner) for name, inner in value.items()}
        elif key != "predictor":
            flat[key] = _plain(value)
    return flat


def _plain(value: Any) -> str:
    return str(part_words(value))


def part_words(value: Any) -> Any:
    """A part of a resolved recipe as words; any other setting as it is.

    >>> part_words({"name": "sgd", "options": {"momentum": 0.5}}), part_words(3)
    ('sgd(momentum=0.5)', 3)
    """
    if isinstance(value, dict) and set(value) == {"name", "options"}:
        options = ", ".join(f"{k}={v}" for k, v in value["options"].items())
        return value["name"] + (f"({options})" if options else "")
    return value


_TUNING, _UNTUNED = "tuning", "no trials"  # named only where some run was tuned
_BEGINS = "what training begins from"  # named only where some run begins from a checkpoint
_FACTS: dict[str, Callable[[Record], Any]] = {
    "data": lambda r: (r.dataset, r.split, r.fingerprint, r.limit),
    "training data": lambda r: r.identity.fitted_on.get("train"),
    "validation data": lambda r: r.identity.fitted_on.get("validation"),
    "kind of device": lambda r: r.identity.device,
    "precision": lambda r: r.environment.precision if r.identity.device else None,
}
