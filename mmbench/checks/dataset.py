"""What every dataset must keep: all of it can be read, and training has what it needs.

Each check is a function of a way to find one: `make()` gives the task and the dataset's settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mmbench import registry
from mmbench.checks.contract import require
from mmbench.data.dataset import DatasetSpec, load_spec, tasks_of
from mmbench.data.sample import SampleSet
from mmbench.errors import MMBenchError
from mmbench.task import Task

Find = Callable[[], tuple[Task, DatasetSpec]]


def dataset_maker(name: str, options: Mapping[str, Any], width: int | None = None) -> Find:
    """A way to find a dataset: `make()`.

    Args:
        name: registered, or the path of its YAML file.
        options: `data_dir` alone.
        width: of no effect.
    Raises: MMBenchError for other options.
    """
    if other := sorted({*options} - {"data_dir"}):
        raise MMBenchError(f"a dataset is checked with data_dir alone, got {', '.join(other)}")

    def make() -> tuple[Task, DatasetSpec]:
        task: Task = registry.load("tasks", tasks_of(name)[0])()
        spec = load_spec(name, task.name)
        return task, spec.model_copy(update={"data_dir": options.get("data_dir", spec.data_dir)})

    return make


def _samples(make: Find) -> dict[str, SampleSet]:
    task, spec = make()
    return {split: task.load(spec, split) for split in spec.splits}


def check_reading(make: Find) -> None:
    """Every split can be read, holds samples, and as many as it says."""
    _, spec = make()
    for split, samples in _samples(make).items():
        require(len(samples) > 0, f"{split} holds no sample")
        of, expected = spec.splits[split].of, spec.splits[split].samples
        held_out = of is not None or any(other.of == split for other in spec.splits.values())
        as_said = expected is None or held_out or expected == len(samples)
        require(as_said, f"{split} holds {len(samples):,} samples, and says {expected or 0:,}")


def check_ids(make: Find) -> None:
    """No two samples of a split have one id."""
    for split, samples in _samples(make).items():
        (name, count), *_ = Counter(sample.id for sample in samples).most_common(1)
        require(count == 1, f"{count} samples of {split} are called {name}")


def check_splits(make: Find) -> None:
    """There is a split to train on, one to choose an epoch by, and the one that it is scored on."""
    _, spec = make()
    for split in ("train", "validation", spec.evaluate_on):
        require(
            split in spec.splits,
            f"there is no split {split}: it has {', '.join(spec.splits)}"
            + (" (`validation: {of: train, hold_out: 0.1}`)" if split == "validation" else ""),
        )


def check_targets(make: Find) -> None:
    """Every sample has a target, and they are not all the same."""
    for split, samples in _samples(make).items():
        without = [s.id for s in samples if s.target is None or s.target in ("", [])]
        require(not without, f"{len(without)} samples of {split} have no target: {without[:1]}")
        kinds = {repr(sample.target) for sample in samples}
        require(len(kinds) > 1, f"all samples of {split} have the target {min(kinds)}")


def check_metrics(make: Find) -> None:
    """The metrics that it is scored by exist."""
    _, spec = make()
    for name in spec.metrics:
        if not name.startswith("evaluate:"):
            registry.check("metrics", name)


CHECKS = (check_reading, check_ids, check_splits, check_targets, check_metrics)
