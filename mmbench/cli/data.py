"""What `mmbench data` prints: the datasets that there are, their preparation, and their check."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench import registry
from mmbench.cli import output
from mmbench.data.dataset import DatasetSpec, load_spec, tasks_of
from mmbench.direct_names import OTHER_LIBRARIES
from mmbench.errors import MMBenchError
from mmbench.reports.escape import for_markdown, one_line
from mmbench.sources import class_expression

if TYPE_CHECKING:
    from mmbench.data.reading import Told
    from mmbench.data.splits import LoadedSplit

_SHOWN = 5  # problems of a split


def list_text() -> str:
    """A line a dataset; see `rows`."""
    table = [[one_line(cell) for cell in row] for row in rows()]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]) - 1)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in table]
    return "\n".join(lines)


def rows() -> list[tuple[str, ...]]:
    """Of each dataset, below a header: tasks, samples, where from, how large, what licence."""
    table: list[tuple[str, ...]] = [("dataset", "tasks", "samples", "from", "download", "licence")]
    for name in registry.names("datasets"):
        spec = load_spec(name, tasks_of(name)[0])
        counts = {split: s.samples for split, s in spec.splits.items() if s.samples}
        shown = [split for split in ("train", spec.evaluate_on) if split in counts]
        samples = ", ".join(f"{counts[split]:,} {split}" for split in shown)
        whence = origin(spec)
        tasks = ", ".join(tasks_of(name))
        table.append((name, tasks, samples, whence, spec.download, spec.licence))
    return table


def markdown() -> str:
    """The table of docs/datasets.md: `python -m mmbench.cli.data` prints it."""
    head, *body = rows()
    table = [
        head,
        ("---",) * len(head),
        *((f"`{name}`", *map(for_markdown, cells)) for name, *cells in body),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def origin(spec: DatasetSpec) -> str:
    """Where a dataset's files come from."""
    if spec.source is not None:
        return f"package {spec.source.install}"
    if spec.layout is not None and _is_generated(spec.layout.reader):
        return "generated"
    in_folder = spec.folder or spec.hub is None
    return " or ".join(word for word, there in (("hub", spec.hub), ("folder", in_folder)) if there)


def _is_generated(reader: str) -> bool:
    """Whether a reader makes its samples, as its source says."""
    if not registry.has("readers", reader):
        return False  # whoever reads it is told
    where = registry.location("readers", reader)
    made = class_expression(*where, "needs_folder", inherited=True)
    return isinstance(made, ast.Constant) and made.value is False


def prepare(
    name: str,
    data_dir: Path | None = None,
    split: str | None = None,
    skip_bad: bool = False,
    told: Told | None = None,
) -> Iterator[str]:
    """Read and decode a dataset into the cache; a line for each split as it is done.

    Args:
        name: the dataset, or the path of its YAML file.
        data_dir: the folder of its files.
        split: the only one to prepare.
        skip_bad: leave out samples that cannot be read.
        told: called with progress.
    Raises: MMBenchError for what `mmbench run` would stop at.
    """
    spec = _spec(name, data_dir, skip_bad)
    yield f"{spec.name}: {spec.summary}"
    yield f"  licence  {spec.licence}"
    if spec.download:
        yield f"  size     {spec.download}"
    for each in [split] if split else spec.splits:
        loaded = _load(spec, each, told)
        yield f"  {each}: {_counts(loaded)}"
        for modality, media in loaded.media.items():
            yield f"    {modality}: {_place(media.values)}"


def exported(
    name: str,
    task: str | None = None,
    split: str | None = None,
    data_dir: Path | None = None,
    skip_bad: bool = False,
) -> Iterator[str]:
    """A line of JSON for each sample of a split: id, texts, group (its medium), category.

    Its right answer is not among them: that is the dataset's, by which `mmbench score` judges.

    Args: as `mmbench.experiments.answered_dataset.asked_dataset`.
    """
    from mmbench.data.media import media_of
    from mmbench.experiments.answered_dataset import asked_dataset

    for sample in asked_dataset(task, name, split, data_dir, skip_bad).samples:
        texts = {k: v for k, v in sample.inputs.items() if not media_of(v)}
        of_group = {"group": sample.group, "category": sample.category}
        yield json.dumps({"id": sample.id, **texts, **of_group})


def check(
    name: str,
    data_dir: Path | None = None,
    say: Callable[[str], None] = output.say_line,
    told: Told | None = None,
) -> None:
    """Read all of a dataset, and say what of it is missing, broken, or not as many as it should be.

    It also says how much of what is scored a model was trained on, and where samples of one medium
    stand in several groups; that is no problem by itself.

    Args:
        name: the dataset, or the path of its YAML file.
        data_dir: the folder of its files.
        say: called with a line for each split, and one for each problem.
        told: called with progress.
    Raises: MMBenchError if there are problems.
    """
    spec = _spec(name, data_dir, skip_bad=True)
    for metric in spec.metrics:
        if not metric.startswith(OTHER_LIBRARIES):
            registry.check("metrics", metric)
    problems = 0
    counts: dict[str, int] = {}
    held: dict[str, LoadedSplit] = {}
    unread: dict[str, str] = {}  # by what is said, of which split it was said first
    for split in spec.splits:
        try:
            loaded = _load(spec, split, told)
        except MMBenchError as error:
            first = unread.setdefault(str(error), split)
            say(f"{split}: {error if first == split else f'as {first}'}")
            problems += 1
            continue
        counts[split] = len(loaded.rows) + loaded.merged
        if split in ("train", "validation", spec.evaluate_on):
            held[split] = loaded
        say(f"{split}: {_counts(loaded)}, fingerprint {loaded.fingerprint}")
        if remark := _scattered_words(loaded):
            say(f"  {remark}")
        different = list(dict.fromkeys(loaded.skipped))
        for reason in different[:_SHOWN]:
            say(f"  {reason}")
        if len(different) > _SHOWN:
            say(f"  and {len(different) - _SHOWN:,} more")
        problems += bool(different)
    for split, settings in spec.splits.items():
        whole = [split, *(name for name, other in spec.splits.items() if other.of == split)]
        found = sum(counts.get(part, 0) for part in whole)
        if settings.samples is not None and split in counts and found != settings.samples:
            say(f"{' and '.join(whole)}: {settings.samples:,} samples expected, {found:,} found")
            problems += 1
    for split in dict.fromkeys((spec.evaluate_on, "validation")):
        if split != "train" and {split, "train"} <= set(held):
            found, words = _in_both(held[split], held["train"], split)
            if found or split == spec.evaluate_on:
                say(words)
    if problems:
        word = "problem" if problems == 1 else "problems"
        raise MMBenchError(f"{spec.name} is not whole: {problems} {word}, said above")
    say(f"{spec.name} is whole")


def _spec(name: str, data_dir: Path | None, skip_bad: bool) -> DatasetSpec:
    first = tasks_of(name)[0]
    registry.check("tasks", first)
    spec = load_spec(name, first)
    return spec.model_copy(update={"data_dir": data_dir or spec.data_dir, "skip_bad": skip_bad})


def _load(spec: DatasetSpec, split: str, told: Told | None) -> LoadedSplit:
    from mmbench.data.reading import reporting_to
    from mmbench.data.splits import first_kind, load_split

    with reporting_to(told) if told else nullcontext():
        return load_split(spec, split, first_kind(spec, split))


def _counts(loaded: LoadedSplit) -> str:
    media = [f"{len(found):,} {modality}s" for modality, found in loaded.media.items()]
    if loaded.merged:
        media.append(f"{len(loaded.rows) + loaded.merged:,} rows of a caption each")
    skipped = [f"{len(loaded.skipped):,} skipped"] if loaded.skipped else []
    return ", ".join([f"{len(loaded.rows):,} samples", *media, *skipped])


def _scattered_words(loaded: LoadedSplit) -> str:
    """What to do where samples of one medium stand in several groups; "" where none do."""
    from mmbench.data.overlap import scattered

    for modality, (several, different) in scattered(loaded).items():
        if several:
            return (
                f"{several:,} of {different:,} different {modality}s stand in several groups, "
                "which intervals and a held-out validation take for independent: name their "
                f"`group` among the columns (the {modality}s' own column, or one of their names)"
            )
    return ""


def _in_both(part: LoadedSplit, train: LoadedSplit, name: str) -> tuple[int, str]:
    """How many media of a split stand in train too; all that they have in common, in a line."""
    from mmbench.data.overlap import in_both

    found = in_both(part, train)
    parts = []
    for modality, same in found.same.items():
        near = found.near[modality]
        words = f"{same:,} of {found.of[modality]:,} {modality}s"
        parts.append(f"{words}, and nearly {near:,} more" if near is not None else words)
    parts += [f"{m}s are too large to be compared" for m in found.not_compared]
    if not found.not_compared:
        parts.append(f"{found.asked:,} of {found.samples:,} samples with text and media")
    return sum(found.same.values()), f"{name} in train: {'; '.join(parts)}"


def _place(values: object) -> str:
    """Where decoded media are."""
    file = getattr(getattr(values, "base", None), "filename", None)  # of what is memory-mapped
    if file is None:
        return "too large to be kept decoded: decoded when they are used"
    return f"{Path(file).stat().st_size / 1e6:,.0f} MB decoded, {file}"


if __name__ == "__main__":
    output.say(markdown())
