"""The samples that several runs were asked, with every run's answers, as a page shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmbench import registry
from mmbench.data.media import MediaRef, media_of
from mmbench.data.sample import Sample
from mmbench.data.splits import is_at_hand
from mmbench.errors import MMBenchError
from mmbench.experiments.rescore import samples_asked
from mmbench.experiments.result import RunResult
from mmbench.records.record import Record
from mmbench.reports.escape import one_line
from mmbench.reports.page.scores import Score, scores_of
from mmbench.statistics.bootstrap import IntArray
from mmbench.task import Task

OF_GROUP = "{} of its group"  # what a sample lacks and others of its group have


@dataclass(frozen=True)
class SampleSet:
    """What runs were asked: the same samples in the same order.

    Attributes:
        key: task, dataset and split, and what else tells it from its namesakes.
        runs: by model and seed.
    """

    key: str
    runs: Mapping[str, Mapping[int, RunResult]]

    @property
    def any_run(self) -> RunResult:
        """One of the runs."""
        return next(iter(next(iter(self.runs.values())).values()))


@dataclass
class Browsed:
    """The samples of a set that a page shows.

    Attributes:
        key: of the set.
        total: samples of the set; more than are shown where they are too many.
        columns: texts of each sample, by what they are, each a tuple of lines.
        media: of each sample, by what they are; None where it has none.
        modalities: of the media, by what they are.
        rates: of sounds, samples a second.
        answers: of each run, by model and seed: texts, or image files' bytes.
        shown_as: see `Task.shown_as`.
        scores: that have a value for each sample; see `Score`.
        note: why there are no media, in a line.
    """

    key: str
    total: int
    ids: list[str]
    categories: list[str] | None
    columns: dict[str, list[tuple[str, ...]]]
    answers: dict[tuple[str, int], list[Any]]
    shown_as: Mapping[str, str]
    scores: list[Score]
    media: dict[str, list[MediaRef | None]] = field(default_factory=dict)
    modalities: dict[str, str] = field(default_factory=dict)
    rates: dict[str, int] = field(default_factory=dict)
    note: str | None = None


def browse(
    asked: SampleSet, data_dir: Path | None, most: int, dataset: str | None = None
) -> Browsed:
    """The samples of a set, with their media where the dataset is at hand.

    Args:
        asked: the set.
        data_dir: the folder of a dataset's files, for those that do not come with mmbench.
        dataset: the YAML file of a dataset that is not registered, for records of that.
        most: how many samples; of more, so many are drawn, always the same ones.
    Raises: MMBenchError if a record's files cannot be read.
    """
    record = asked.any_run.record
    known = registry.has("tasks", record.task)
    task: Task | None = registry.load("tasks", record.task)() if known else None
    table = asked.any_run.predictions()
    chosen = np.arange(len(table))
    if len(chosen) > most:
        chosen = np.sort(np.random.default_rng(0).choice(len(chosen), most, replace=False))
    answers = {}
    for model, runs in asked.runs.items():
        for seed, run in runs.items():
            given = run.predictions()["prediction"].tolist()
            answers[model, seed] = [_answer(given[place]) for place in chosen]
    shown = table.iloc[chosen]
    categories = [None if _absent(c) else one_line(c) for c in shown["category"]]
    browsed = Browsed(
        key=asked.key,
        total=len(table),
        ids=[one_line(name) for name in shown["id"]],
        categories=[c or "" for c in categories] if any(categories) else None,
        columns={
            "text": [_lines(text) for text in shown["text"]],
            "target": [_lines(target) for target in shown["target"]],
        },
        answers=answers,
        shown_as=task.shown_as if task else {},
        scores=scores_of(asked.runs, chosen),
    )
    try:
        own = dataset if dataset is not None and Path(dataset).stem == record.dataset else None
        task = _at_hand(record, task, data_dir, own)
        samples = samples_asked(record, task, data_dir, dataset=own)
        if [sample.id for sample in samples] != table["id"].tolist():
            raise MMBenchError(f"the samples of {record.dataset} are others than were asked")
    except MMBenchError as error:
        browsed.note = one_line(f"Texts only, without media: {error}")
        browsed.columns = {name: lines for name, lines in browsed.columns.items() if any(lines)}
        return browsed
    _add_content(browsed, samples, chosen)
    rate = task.dataset(own or record.dataset).sample_rate
    for name, refs in browsed.media.items():
        first = next(ref for ref in refs if ref is not None)
        browsed.rates[name] = first.rate or rate
    return browsed


def _at_hand(record: Record, task: Task | None, data_dir: Path | None, dataset: str | None) -> Task:
    """The task; MMBenchError where the dataset cannot be read, or only by fetching it."""
    if record.weights.source == "elsewhere" and not record.identity.parts:
        raise MMBenchError("the predictions were made elsewhere, and no dataset was read for them")
    if task is None:
        raise MMBenchError(f"no task called {record.task!r} is installed")
    if dataset is None and not registry.has("datasets", record.dataset):
        raise MMBenchError(
            f"no dataset called {record.dataset!r} is installed: name its YAML file with --dataset"
        )
    if data_dir is not None:
        return task
    spec = task.dataset(dataset or record.dataset)
    if record.split not in spec.splits:
        raise MMBenchError(f"{record.dataset} has no split {record.split!r} here")
    if not (is_at_hand(spec) or (spec.hub is not None and Path(spec.hub.path).is_dir())):
        raise MMBenchError(
            f"{record.dataset} does not come with mmbench: name its folder with --data-dir"
        )
    return task


def _add_content(browsed: Browsed, samples: Sequence[Sample], chosen: IntArray) -> None:
    """What the dataset says of the samples, in place of what the records do."""
    columns: dict[str, list[tuple[str, ...]]] = {}
    groups = _by_group(samples)
    empty: tuple[str, ...] = ()
    for place, index in enumerate(chosen):
        sample = samples[index]
        texts, media = _content(sample)
        of_group_texts, of_group_media = groups[sample.group]
        if "text" not in texts and of_group_texts:
            texts[OF_GROUP.format("texts")] = of_group_texts
        for modality, ref in of_group_media.items():
            if modality not in media:
                media[OF_GROUP.format(modality)] = ref
                browsed.modalities[OF_GROUP.format(modality)] = modality
        for name, lines in texts.items():
            columns.setdefault(name, [empty] * len(chosen))[place] = lines
        for name, ref in media.items():
            browsed.media.setdefault(name, [None] * len(chosen))[place] = ref
            browsed.modalities.setdefault(name, name if name in _MODALITIES else "image")
    browsed.columns = columns


_MODALITIES = ("image", "video", "audio")


def _by_group(
    samples: Sequence[Sample],
) -> dict[str, tuple[tuple[str, ...], dict[str, MediaRef]]]:
    """By group, all texts and media of its samples, where not each sample has them."""
    found: dict[str, tuple[list[str], dict[str, MediaRef]]] = {}
    partly = len({frozenset(sample.inputs) for sample in samples}) > 1
    for sample in samples:
        texts, media = found.setdefault(sample.group, ([], {}))
        if partly:
            media |= {m: ref for m, ref in sample.inputs.items() if isinstance(ref, MediaRef)}
            texts += [_text(t) for t in (sample.inputs.get("text"),) if t is not None]
    return {group: (tuple(texts), media) for group, (texts, media) in found.items()}


def _content(sample: Sample) -> tuple[dict[str, tuple[str, ...]], dict[str, MediaRef]]:
    """What a sample asks and what is right, as lines and media by what they are."""
    texts: dict[str, tuple[str, ...]] = {}
    media: dict[str, MediaRef] = {}
    for name, value in sample.inputs.items():
        if isinstance(value, MediaRef):
            media[name] = value
        elif several := media_of(value):
            media |= {f"{name} {number}": one for number, one in enumerate(several, 1)}
        else:
            texts[name] = _lines(value)
    if isinstance(sample.target, Mapping):
        for name, value in sample.target.items():
            if isinstance(value, MediaRef):
                media[name] = value
            elif not isinstance(value, Mapping):
                texts[name] = _lines(value)
    else:
        texts["target"] = _lines(sample.target)
    return texts, media


def _lines(value: Any) -> tuple[str, ...]:
    """A text, or each of several; of equal ones, how many there are."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if _absent(value):
        return ()
    if isinstance(value, list | tuple):
        counts: dict[str, int] = {}
        for each in value:
            text = _text(each)
            counts[text] = counts.get(text, 0) + 1
        return tuple(text if n == 1 else f"{text} (x {n})" for text, n in counts.items())
    if isinstance(value, Mapping):
        return (one_line(json.dumps(value)),)
    return (_text(value),)


def _text(value: Any) -> str:
    """A text as a page shows it: line breaks and tabs are spaces, other controls are written."""
    return one_line(" ".join(str(value).split()))


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _answer(value: Any) -> str | bytes:
    """An answer as a page shows it: a text, or an image file's bytes."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.ndarray | list | tuple):
        return ", ".join(_text(each) for each in np.asarray(value).tolist())
    return "" if _absent(value) else _text(value)
