"""Captions: data, seeds and statistics of a table, in words, from what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmbench import registry
from mmbench.records.record import Record
from mmbench.reports.cells import known_metric
from mmbench.reports.names import dataset_title, full_metric_title
from mmbench.reports.significance import Marks
from mmbench.reports.table import Row, Table

_MOST_NAMED = 3


def listed(words: Iterable[str]) -> str:
    """Words as a sentence has them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    found = list(dict.fromkeys(words))
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def unit_of(task: str) -> str:
    """What a task calls its samples."""
    return str(registry.load("tasks", task).unit) if registry.has("tasks", task) else "samples"


def data_words(tables: Sequence[Table]) -> str:
    """Which data the numbers are of: "the test split of easy-VQA (9,673 questions)"."""
    columns = dict.fromkeys(c for table in tables for c in table.columns)
    rows = [row for table in tables for row in table.rows]
    return listed(
        split_words(next(row for row in rows if column in row.runs).record_of(column))
        for column in columns
    )


def split_words(record: Record) -> str:
    """Which data a record's numbers are of."""
    size = f"{record.samples:,} {unit_of(record.task)}"
    if record.limit is not None:
        size = f"first {record.limit:,}"
    return f"the {record.split} split of {dataset_title(record.dataset)} ({size})"


def seed_counts(rows: Iterable[Row]) -> list[int]:
    """The numbers of seeds that cells are over, ascending."""
    return sorted({len(cell.values) for row in rows for cell in row.cells.values()})


def value_words(rows: Iterable[Row], spread: str) -> str:
    """What a number of a table is, and what stands beside it."""
    return spread_words([list(cell.values) for row in rows for cell in row.cells.values()], spread)


def spread_words(of_seeds: Iterable[Sequence[int]], spread: str) -> str:
    """As `value_words`, of numbers that are over these seeds."""
    every = list(of_seeds)
    counts = sorted({len(seeds) for seeds in every})
    if counts[-1] == 1:
        alone = sorted({seed for seeds in every for seed in seeds})
        of = f"seed {alone[0]}" if len(alone) == 1 else "a seed each"
        text = f"One training each ({of}), so that what is said is of these and not of the next"
        return text + ("." if spread == "none" else "; in brackets 95% intervals over samples.")
    many = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else f"{counts[-1]}"
    shown = {
        "sd": "Mean ± standard deviation",
        "interval": "Mean and 95% interval over seeds and samples",
        "none": "Mean",
    }[spread]
    text = f"{shown} over {many} seeds"
    if counts[0] == 1 and spread == "sd":
        text += "; of a single seed its 95% interval over samples"
    return text + "."


def statistics_words(marks: Marks, letters: bool, baseline: str | None, markup: str) -> str:
    """What is marked, and by which tests.

    Args:
        marks: of the table.
        letters: whether they are shown.
        baseline: what rows are compared with, as a reader calls it.
        markup: how what is level with the best (or the baseline) is set: "underlined"; "" if it is
            not marked.
    """
    family = marks.family
    if family is None:
        return "No differences were tested."
    paired = any(pair.difference.paired_seeds for pair in family.pairs)
    single = all(pair.difference.of_checkpoints for pair in family.pairs)
    by = "sample and seed" if paired else "sample"
    over = "samples" if single else "seeds and samples"
    count = f"{family.tests} test{'s' if family.tests > 1 else ''}"
    test = (
        f"differences paired by {by}, bootstrap over {over}, "
        f"{'Holm-corrected over ' if family.tests > 1 else ''}{count}, "
        f"significance level {1 - family.level:.2g}"
    )
    words = ["Best in bold"]
    if markup and baseline is not None:
        words.append(f"not significantly different from {baseline}: {markup}")
    elif markup:
        words.append(f"not significantly worse than the best: {markup}")
    text = "; ".join(words) + f" ({test})."
    if letters:
        text += " Within a column, models that share a letter cannot be told apart."
    return text


def measured_words(tables: Sequence[Table]) -> str:
    """What the numbers are: "accuracy (%)"; "scores" where they are many."""
    columns = dict.fromkeys(c for table in tables for c in table.columns)
    names = list(dict.fromkeys(metric_words(c.metric, c.signature) for c in columns))
    if len(names) > _MOST_NAMED:
        return "Scores"
    return listed(names)


def metric_words(name: str, signature: str) -> str:
    """A metric with its heading, and "(%)" if it is a share."""
    metric = known_metric(name, signature)
    share = metric is not None and metric.bounds == (0.0, 1.0) and metric.scale == 100
    return full_metric_title(name) + (" (%)" if share else "")
