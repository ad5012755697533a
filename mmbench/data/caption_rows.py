"""Tables with a row a caption, the usual layout of CSVs: rows of one medium are one sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmbench.data.checks import is_text, unusable
from mmbench.data.decoding import contents
from mmbench.data.stored import Stored

Row = dict[str, Any]
Files = Mapping[str, Mapping[Any, Stored]]


def merged(rows: Sequence[Row], files: Files, folder: Path | None) -> list[Row]:
    """The rows, those with a single caption of the same medium made one.

    An image that stands in a table five times, with a caption each, is then what it is in a table
    with lists of captions: one sample with five references, once in a gallery.

    Args:
        rows: as a reader gives them. Where `captions` is a text and no list, it is one of several.
            Rows of different `group` stay apart, whatever their media.
        files: by modality, the media by the keys that rows have; equal ones are known by content.
        folder: that they must be in, if in one.
    Returns: rows whose `captions` are lists; one that has no usable caption stays alone. A merged
        row has the other columns of its first one.
    """
    if not any(isinstance(row.get("captions"), str) for row in rows):
        return list(rows)
    same = {modality: _by_content(found, modality, folder) for modality, found in files.items()}
    samples: list[Row] = []
    place: dict[Any, int] = {}
    for row in rows:
        if not isinstance(caption := row.get("captions"), str):
            samples.append(row)
            continue
        keys = {m: row[m] for m in same if isinstance(row.get(m), int | str)}
        media = tuple(same[m][key] or key for m, key in keys.items())
        key = (row.get("group"), media)
        if media and is_text(caption) and key in place:
            samples[place[key]]["captions"].append(caption)
            continue
        if media and is_text(caption):
            place[key] = len(samples)
        samples.append(row | {"captions": [caption]})
    return samples


def _by_content(
    files: Mapping[Any, Stored], modality: str, folder: Path | None
) -> dict[Any, str | None]:
    """By key, what is equal for media of equal content; None if it cannot be read."""
    bad = unusable(files, modality, files, folder)
    good = [key for key in files if key not in bad]
    digests = contents([files[key] for key in good], modality)
    return dict.fromkeys(bad) | dict(zip(good, digests, strict=True))
