"""Reads a split from the Hugging Face hub, or from a folder in a layout of the hub's."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from mmbench.data.dataset import DatasetSpec, HubMedia, HubSplit
from mmbench.data.media import cache_folder
from mmbench.data.readers.columns import check_columns, row_of, value_at
from mmbench.data.reading import report_progress
from mmbench.data.stored import Stamp, Stored
from mmbench.data.table import Kind, Table
from mmbench.errors import MMBenchError, did_you_mean

if TYPE_CHECKING:
    from datasets import Dataset

MODALITIES = ("image", "video", "audio")
_TOLD = 1000  # rows streamed between two reports of progress


class HubTable:
    """A column of encoded media in an Arrow table on disk."""

    def __init__(self, table: Dataset, column: str) -> None:
        self.column = column
        self._values = table.select_columns(column)
        files = [Path(file["filename"]) for file in table.cache_files]
        statuses = [file.stat() for file in files]
        sizes = [f"{status.st_size} {status.st_mtime_ns}" for status in statuses]
        self.stamp = " ".join([*map(str, files), *sizes, column])
        self.changed = max((status.st_mtime_ns for status in statuses), default=0)

    def __getitem__(self, row: int) -> bytes:
        value = self._values[row][self.column]
        if value is None:
            raise OSError("there is none")
        content: bytes | None = value["bytes"]
        return Path(value["path"]).read_bytes() if content is None else content


@dataclass(frozen=True)
class Cell(Stored):
    """A row of such a column."""

    table: HubTable
    row: int

    def __str__(self) -> str:
        return f"in column {self.table.column} of row {self.row}"

    def stamp(self) -> Stamp:
        """See `Stored`."""
        return Stamp(f"{self.table.stamp} {self.row}", self.table.changed)

    def content(self) -> bytes:
        """See `Stored`."""
        return self.table[self.row]


def read_hub(spec: DatasetSpec, split: str, kind: Kind) -> Table:
    """A split of a dataset that its YAML says the hub has.

    Raises: MMBenchError if it cannot be had, or has not the columns.
    """
    assert spec.hub is not None
    if split not in spec.hub.splits:
        raise MMBenchError(
            f"the hub has no split '{split}' of {spec.name}: it has {', '.join(spec.hub.splits)}. "
            "Name the folder of the official files with --data-dir."
        )
    source = spec.hub.split(split)
    if spec.data_dir is not None:
        source = source.model_copy(update={"path": str(spec.data_dir)})
    assert source.columns is not None
    where = f"{source.path}, split {source.split}"
    check_columns(source.columns, kind, where)
    table = _streamed(spec, source) if spec.hub.streaming else _load(spec, source)
    media = {ours: str(theirs) for ours, theirs in source.columns.items() if ours in MODALITIES}
    texts = {ours: theirs for ours, theirs in source.columns.items() if ours not in MODALITIES}
    apart = None if source.media is None else _Apart(spec, source, source.media)
    if apart is not None:
        texts |= media
    names = _names([*texts.values(), *source.where])
    _check_columns(where, table, [*names, *media.values()])
    rows: list[dict[str, Any]] = []
    cells: dict[str, dict[Any, Stored]] = {modality: {} for modality in media}
    columns = {m: HubTable(_encoded(table, n, where), n) for m, n in media.items() if not apart}
    for number, record in enumerate(table.select_columns(names)):
        if any(str(value_at(record, k)) != value for k, value in source.where.items()):
            continue
        row = row_of(record, texts, where, number, spec.hub.lower)
        for modality in media:
            if apart is not None:
                cells[modality].setdefault(row[modality], apart.cell(row[modality]))
            else:  # samples of one group share their medium
                row[modality] = row.get("group", str(number))
                cells[modality].setdefault(row[modality], Cell(columns[modality], number))
        rows.append(row)
    return Table(rows, cells)


class _Apart:
    """Media in a table of their own."""

    def __init__(self, spec: DatasetSpec, source: HubSplit, media: HubMedia) -> None:
        self._where = f"{source.path} {media.name}, split {media.split}"
        found = source.model_copy(update={"name": media.name, "split": media.split})
        table = _load(spec, found)
        _check_columns(self._where, table, [media.key, media.column])
        keys = table.select_columns(media.key)
        self._place = {row[media.key]: number for number, row in enumerate(keys)}
        self._values = HubTable(_encoded(table, media.column, self._where), media.column)

    def cell(self, key: Any) -> Cell:
        if key not in self._place:
            raise MMBenchError(f"{self._where} lacks '{key}', which a row names")
        return Cell(self._values, self._place[key])


def _check_columns(where: str, table: Any, names: Sequence[str]) -> None:
    for name in names:
        if name not in table.column_names:
            raise MMBenchError(
                f"{where} has no column '{name}'.{did_you_mean(name, table.column_names)} "
                f"It has {', '.join(table.column_names)}."
            )


def _names(columns: Sequence[int | str | list[str]]) -> list[str]:
    """The columns of a table that are read for these: of `answers.answer`, `answers`."""
    found = []
    for column in columns:
        for name in column if isinstance(column, list) else [str(column)]:
            found.append(name.partition(".")[0])
    return list(dict.fromkeys(found))


def _load(spec: DatasetSpec, source: HubSplit, streaming: bool = False) -> Any:
    """What `datasets` makes of it. Version 4 and later cannot run code that lies there."""
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        with _offline_without_network():
            return datasets.load_dataset(
                source.path,
                source.name,
                split=source.split,
                revision=source.revision,
                streaming=streaming,
            )
    except Exception as error:  # of a dozen kinds: of datasets, huggingface_hub, httpx, pyarrow
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MMBenchError(
            f"{spec.name} cannot be had from the hub ({source.path}): {first[:200]}. Without "
            "network, name its folder with --data-dir."
        ) from None


@contextmanager
def _offline_without_network() -> Iterator[None]:
    """Where the hub's name leads nowhere, only the local cache is looked at, without retries."""
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    try:
        if not getproxies():
            host = urlsplit(constants.ENDPOINT)
            socket.getaddrinfo(host.hostname, host.port or 443)
    except OSError:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = before


def _streamed(spec: DatasetSpec, source: HubSplit) -> Dataset:
    """The first rows of a split that is too large to fetch whole, kept in the cache."""
    from datasets import Dataset
    from datasets.arrow_writer import ArrowWriter

    assert spec.hub is not None
    take = spec.hub.take
    key = hashlib.sha256(json.dumps([source.model_dump(), take]).encode()).hexdigest()[:24]
    kept = cache_folder() / "hub" / f"{key}.arrow"
    if not kept.exists():
        stream = _load(spec, source, streaming=True)
        assert source.columns is not None
        for modality in MODALITIES:
            if modality in source.columns:
                stream = _encoded(stream, str(source.columns[modality]), source.path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=kept.parent))
        try:
            with ArrowWriter(path=str(temporary / "rows"), features=stream.features) as writer:
                for number, row in enumerate(stream.take(take), start=1):
                    writer.write(row)
                    if number % _TOLD == 0:
                        report_progress(f"streaming {source.path}", number, take)
                writer.finalize()
            (temporary / "rows").rename(kept)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Dataset.from_file(str(kept))


def _encoded(table: Any, column: str, where: str | None) -> Any:
    """The table with a column of media as the bytes that they are encoded in."""
    features = table.features or {}
    feature: Any = features.get(column)
    if not hasattr(feature, "decode"):
        raise MMBenchError(f"the column {column} of {where} holds no media but {feature}")
    return table.cast_column(column, type(feature)(decode=False))
