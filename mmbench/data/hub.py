"""Reads a split from the Hugging Face hub, or from a folder in a layout of the hub's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from mmbench.data.cache import cache_folder, is_whole, seal, tell_damaged, unwritable
from mmbench.data.checks import files_below, is_missing
from mmbench.data.dataset import DatasetSpec, HubMedia, HubSplit
from mmbench.data.readers.columns import check_columns, row_of, value_at
from mmbench.data.reading import report_progress
from mmbench.data.stored import File, Stamp, Stored, stored_video
from mmbench.data.table import Kind, Table
from mmbench.errors import MMBenchError, did_you_mean, in_one_line
from mmbench.hub_network import offline_without_network

if TYPE_CHECKING:
    from datasets import Dataset

MODALITIES = ("image", "video", "audio")
_TOLD = 1000  # rows streamed between two reports of progress


class HubTable:
    """A column of encoded media in an Arrow table on disk.

    Args:
        table: the table.
        column: of records of `bytes` and `path`; where there are no bytes, a file holds them.
        folder: what paths that are not absolute start from.
    """

    def __init__(self, table: Dataset, column: str, folder: Path) -> None:
        self.column = column
        self._values = table.select_columns(column)
        self._folder = folder
        files = [Path(file["filename"]) for file in table.cache_files]
        statuses = [file.stat() for file in files]
        sizes = [f"{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino}" for s in statuses]
        self.stamp = " ".join([*map(str, files), *sizes, column])
        # A table in memory has nothing to be known by later.
        self.changed = max((s.st_mtime_ns for s in statuses), default=time.time_ns())
        self._paths = self._outside()

    def _outside(self) -> dict[int, str | None]:
        """By row, the file of each medium whose bytes are not in the table."""
        import pyarrow.compute as pc

        found: dict[int, str | None] = {}
        start = 0
        for chunk in self._values.with_format("arrow")[:][self.column].chunks:
            absent = pc.fill_null(pc.is_null(pc.struct_field(chunk, "bytes")), True)
            paths = pc.struct_field(chunk, "path")
            for place in pc.indices_nonzero(absent).to_pylist():
                found[start + place] = paths[place].as_py() if chunk.is_valid()[place] else None
            start += len(chunk)
        return found

    def __getitem__(self, row: int) -> bytes:
        content: bytes = self._values[row][self.column]["bytes"]
        return content

    def stored(self, row: int, modality: str) -> Stored:
        """A row's medium: in the table, or in the file that the row names."""
        path = self._paths.get(row)
        if path is None:
            return Cell(self, row)
        file = self._folder / path
        return stored_video(file) if modality == "video" else File(file)

    def content_name(self, row: int) -> str | None:
        """What a row's medium is known by: its file, or a hash of its bytes; None if it has none.

        Rows that hold the same bytes have the same name.
        """
        if row in self._paths:
            return self._paths[row]
        return xxhash.xxh3_128_hexdigest(self[row])

    def check(self, row: int) -> None:
        """Whether a row has a medium at all.

        Raises: OSError if it has none.
        """
        if row in self._paths:
            raise OSError("there is none")


@dataclass(frozen=True)
class Cell(Stored):
    """A row of such a column."""

    table: HubTable
    row: int

    def __str__(self) -> str:
        return f"in column {self.table.column} of row {self.row}"

    def stamp(self) -> Stamp:
        self.table.check(self.row)
        return Stamp(f"{self.table.stamp} {self.row}", self.table.changed)

    def content(self) -> bytes:
        return self.table[self.row]


def read_hub(spec: DatasetSpec, split: str, kind: Kind) -> Table:
    """A split of a dataset that its YAML says the hub has.

    Raises: MMBenchError if it cannot be had, or lacks the columns.
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
    group_of = None  # the modality whose media, which have no names, samples are grouped by
    if apart is None and texts.get("group") in media.values():
        group_of = next(m for m, theirs in media.items() if theirs == texts["group"])
        del texts["group"]
    names = _names([*texts.values(), *source.where])
    _check_columns(where, table, [*names, *media.values()])
    rows: list[dict[str, Any]] = []
    cells: dict[str, dict[Any, Stored]] = {modality: {} for modality in media}
    folder = Path(str(source.path))
    columns = {
        m: HubTable(_encoded(table, n, where), n, folder) for m, n in media.items() if not apart
    }
    for number, record in enumerate(_rows(spec, source, table.select_columns(names))):
        if any(str(value_at(record, k)) != value for k, value in source.where.items()):
            continue
        row = row_of(record, texts, where, number, spec.hub.lower)
        if group_of is not None:
            row["group"] = columns[group_of].content_name(number) or str(number)
        for modality in media:
            if apart is not None:
                cells[modality].setdefault(row[modality], apart.stored(row[modality], modality))
            else:  # samples of one group share their medium
                group = row.get("group")
                named = isinstance(group, str) and not is_missing(group)
                row[modality] = group if named else str(number)
                if row[modality] not in cells[modality]:
                    cells[modality][row[modality]] = columns[modality].stored(number, modality)
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
        encoded = _encoded(table, media.column, self._where)
        self._values = HubTable(encoded, media.column, Path(str(found.path)))

    def stored(self, key: Any, modality: str) -> Stored:
        if key not in self._place:
            raise MMBenchError(f"{self._where} lacks '{key}', which a row names")
        return self._values.stored(self._place[key], modality)


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
    """What `datasets` makes of it. Version 4 and later cannot run code that lies there.

    `datasets` has a cache of its own. What it cannot open there is made anew.
    """
    import datasets
    import pyarrow

    path = str(source.path)
    if os.path.isdir(path):
        path = os.path.abspath(path)  # it cannot be called "."
        files_below(Path(path))  # `datasets` leaves out what it cannot read
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    load = partial(
        datasets.load_dataset,
        path,
        source.name,
        split=source.split,
        revision=source.revision,
        streaming=streaming,
    )
    try:
        with offline_without_network():
            try:
                return load()
            except (pyarrow.ArrowException, OSError) as error:
                if isinstance(error, OSError) and (type(error) is not OSError or error.errno):
                    raise  # of the network, or of a file; pyarrow's own have no number
                tell_damaged(Path(datasets.config.HF_DATASETS_CACHE), in_one_line(error))
                return load(download_mode=datasets.DownloadMode.REUSE_CACHE_IF_EXISTS)
    except Exception as error:  # of a dozen kinds: of datasets, huggingface_hub, httpx, pyarrow
        raise _cannot_be_had(spec, source, error) from None


def _rows(spec: DatasetSpec, source: HubSplit, rows: Iterable[Any]) -> Iterator[Any]:
    """The rows, of which any may fail to come."""
    try:
        yield from rows
    except Exception as error:  # as above
        raise _cannot_be_had(spec, source, error) from None


def _cannot_be_had(spec: DatasetSpec, source: HubSplit, error: Exception) -> MMBenchError:
    error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")
    if os.path.isdir(str(source.path)):
        return MMBenchError(f"{spec.name} cannot be read from {source.path}: {first}")
    return MMBenchError(
        f"{spec.name} cannot be had from the hub ({source.path}): {first}. Without "
        "network, name its folder with --data-dir."
    )


def _streamed(spec: DatasetSpec, source: HubSplit) -> Dataset:
    """The first rows of a split that is too large to fetch whole, kept in the cache."""
    from datasets import Dataset
    from datasets.arrow_writer import ArrowWriter

    assert spec.hub is not None
    take = spec.hub.take
    key = hashlib.sha256(json.dumps([source.model_dump(), take]).encode()).hexdigest()[:24]
    kept = cache_folder() / "hub" / f"{key}.arrow"
    if not is_whole(kept):
        stream = _load(spec, source, streaming=True)
        assert source.columns is not None
        for modality in MODALITIES:
            if modality in source.columns:
                stream = _encoded(stream, str(source.columns[modality]), source.path)
        temporary = None
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=kept.parent))
            with ArrowWriter(path=str(temporary / "rows"), features=stream.features) as writer:
                for number, row in enumerate(_rows(spec, source, stream.take(take)), start=1):
                    writer.write(row)
                    if number % _TOLD == 0:
                        report_progress(f"streaming {source.path}", number, take)
                writer.finalize()
            seal(temporary / "rows")
            (temporary / "rows").replace(kept)
        except OSError as error:
            raise unwritable(kept.parent, error) from None
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
    return Dataset.from_file(str(kept))


def _encoded(table: Any, column: str, where: str | None) -> Any:
    """The table with a column of media as the bytes that they are encoded in."""
    features = table.features or {}
    feature: Any = features.get(column)
    if not hasattr(feature, "decode"):
        raise MMBenchError(
            f"the column {column} of {where} holds no media but {feature}. If these are names of "
            "files, give `layout` in place of `hub`, with a reader (parquet_table, csv_table, "
            "json_table) and the pattern of its files; or put the media into the table "
            "(datasets.Image, Audio, Video)"
        )
    return table.cast_column(column, type(feature)(decode=False))
