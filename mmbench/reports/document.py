"""A report as it is to be read, in no format yet: its tables, and what stands once for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.reports.captions import unit_of
from mmbench.reports.cells import Column
from mmbench.reports.names import dataset_title, metric_title
from mmbench.reports.sheet import Sheet
from mmbench.reports.table import Table


@dataclass(frozen=True)
class Signature:
    """How a metric's numbers are computed.

    Attributes:
        mark: behind the metric's title, where another has the same.
        title, heading: of the metric.
        text: its signature, as code.
        scale: what tables multiply its values by.
    """

    mark: str
    title: str
    heading: str
    text: str
    scale: float

    @property
    def whole_title(self) -> str:
        """With its heading and mark."""
        mark = f"[{self.mark}]" if self.mark else ""
        return " ".join(filter(None, [self.heading, self.title, mark]))


@dataclass(frozen=True)
class Data:
    """A split that numbers are of.

    Attributes:
        title: its dataset's, and the split.
        size: in words.
        fingerprint: of its content.
    """

    title: str
    size: str
    fingerprint: str


@dataclass(frozen=True)
class Answer:
    """A line of the reliability checklist.

    Attributes:
        point: what is asked.
        answer: "yes", "no", "in part" or "not recorded".
        found: the numbers that say so.
    """

    point: str
    answer: str
    found: str

    @property
    def title(self) -> str:
        """The point at the beginning of a line."""
        return self.point[0].upper() + self.point[1:]


@dataclass(frozen=True)
class Picture:
    """A figure that was drawn.

    Attributes:
        name: for labels.
        caption: what it shows, in sentences.
        pdf, png: its files.
    """

    name: str
    caption: str
    pdf: Path
    png: Path


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        style: "paper" or "draft".
        sheets: its tables.
        signatures, data: how all their numbers are computed, and on what.
        conditions: where runs ran alike only in part, a sentence each.
        methods: paragraphs; none unless asked for.
        checklist: likewise.
        pictures: likewise.
    """

    style: str
    sheets: Sequence[Sheet]
    signatures: Sequence[Signature]
    data: Sequence[Data]
    conditions: Sequence[str] = ()
    methods: Sequence[str] = ()
    checklist: Sequence[Answer] = ()
    pictures: Sequence[Picture] = field(default_factory=tuple)


def signature_marks(tables: Iterable[Table]) -> dict[Column, str]:
    """A number for each column whose metric's title stands for several signatures, as it may where
    records are of several versions of a metric; no other column needs one."""
    by_title: dict[tuple[str, str], list[str]] = {}
    columns = [c for table in tables for c in table.columns]
    for column in columns:
        signatures = by_title.setdefault(metric_title(column.metric), [])
        if column.signature not in signatures:
            signatures.append(column.signature)
    marks = {}
    for column in columns:
        signatures = by_title[metric_title(column.metric)]
        if len(signatures) > 1:
            marks[column] = str(signatures.index(column.signature) + 1)
    return marks


def signatures_of(tables: Sequence[Table], marks: Mapping[Column, str]) -> list[Signature]:
    """Those of all columns, each once."""
    found: dict[str, Signature] = {}
    for table in tables:
        for column in table.columns:
            title, heading = metric_title(column.metric)
            entry = table.entries[column]
            found.setdefault(
                column.signature,
                Signature(marks.get(column, ""), title, heading, column.signature, entry.scale),
            )
    return list(found.values())


def data_of(tables: Sequence[Table]) -> list[Data]:
    """The splits of all columns, each once."""
    found: dict[tuple[str, str, str, int | None], Data] = {}
    for table in tables:
        for column in table.columns:
            record = next(row for row in table.rows if column in row.runs).record_of(column)
            key = (column.dataset, column.split, column.fingerprint, column.limit)
            unit = unit_of(column.task)
            size = f"{record.samples:,} {unit} in {record.groups:,} groups"
            if column.limit is not None:
                size = f"the first {column.limit:,} only: {size}"
            title = f"{dataset_title(column.dataset)}, {column.split} split"
            found.setdefault(key, Data(title, size, column.fingerprint))
    return list(found.values())
