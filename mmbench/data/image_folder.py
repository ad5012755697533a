"""Reads sets of images, such as generated ones to be scored."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.data.cells import complain, first_ids, texts
from mmbench.data.images import turn_of
from mmbench.data.prediction_files import TABLES, read_table, unique_ids
from mmbench.errors import MMBenchError, in_one_line
from mmbench.rgb import is_deep, to_rgb

# What Pillow opens but does not decode by itself: what is not a picture, PostScript and Windows
# metafiles, which it hands to another program.
_NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


@dataclass(frozen=True)
class ImageFolder:
    """A set of images, by name.

    Attributes:
        names: of the files, sorted; or the ids of a table.
        images: (H, W, 3) uint8 arrays, RGB, each of its own size.
        sha256: of names and pixels.
        notes: what was left out, and how odd images were read.
    """

    names: Sequence[str]
    images: Sequence[npt.NDArray[np.uint8]]
    sha256: str
    notes: Sequence[str] = ()


@dataclass
class _Oddities:
    """The names of images that need a word."""

    deep: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    moving: list[str] = field(default_factory=list)

    def note(self, name: str, image: Any) -> None:
        """Look at a loaded image."""
        if is_deep(image):
            self.deep.append(name)
        if turn_of(image) is not None:
            self.turned.append(name)
        if _has_frames(image):
            self.moving.append(name)

    def notes(self, where: str) -> list[str]:
        """A line for each kind that there is."""
        kinds = {
            "grey of 16 or 32 bits, scaled to 8 by their range": self.deep,
            "turned by their EXIF data, which is left aside, as the reference implementations "
            "of these metrics do": self.turned,
            "of several frames, of which the first is read": self.moving,
        }
        return [
            f"{where}: {len(names):,} images are {kind} ({first_ids(names)})"
            for kind, names in kinds.items()
            if names
        ]


def read_images(path: Path, column: str, allow_outside: bool = False) -> ImageFolder:
    """Decode the images of a folder, or those that a table names.

    As the reference implementations of metrics of images do, an image is read as it is stored,
    whatever turn its EXIF data tell; a note says how many have one.

    Args:
        path: a folder, of which every file that Pillow reads is taken, whatever it is called, and a
            note says what is left out; or a table (.jsonl, .parquet) with the columns `id` and the
            one named, which holds paths in the table's folder.
        column: of a table.
        allow_outside: whether a table may name images outside its folder.
    Raises: MMBenchError if there is no such folder or no image in it; for a table with an id twice
        or a path outside its folder; or for images that are absent, truncated or none at all (how
        many, the first five).
    """
    if path.suffix in TABLES and path.is_file():
        return _decoded(path, _of_table(path, column, allow_outside), [])
    if not path.is_dir():
        raise MMBenchError(f"{path} is not a folder of images")
    paths: dict[str, Path] = {}
    other = []
    try:
        inside = sorted(path.iterdir())
    except OSError as error:
        raise MMBenchError(f"cannot read the folder {path}: {error.strerror}") from None
    for file in inside:
        name = os.fsencode(file.name).decode("utf-8", "backslashreplace")
        if file.name.startswith(".") or not _is_picture(file):
            other.append(f"{name}/" if file.is_dir() else name)
        else:
            paths[name] = file
    if not paths:
        left = f", only {first_ids(other)}" if other else ""
        raise MMBenchError(f"{path} holds no images{left}")
    notes = [f"{path.name}: {len(other):,} files or folders are not images and were left out"]
    return _decoded(path, paths, [f"{notes[0]} ({first_ids(other)})"] if other else [])


def _of_table(path: Path, column: str, allow_outside: bool) -> Mapping[str, Path]:
    rows = read_table(path, ("id", column))
    if not rows:
        raise MMBenchError(f"{path} names no images")
    names = unique_ids(rows, path)
    cells = texts([row[column] for row in rows], names, column, path)
    paths = {name: path.parent / cell for name, cell in zip(names, cells, strict=True)}
    if not allow_outside:
        folder = path.parent.resolve()
        outside = [name for name, file in paths.items() if not _is_inside(file, folder)]
        complain(
            outside,
            "name images outside the table's folder, which --allow-outside allows",
            path,
            f" (the first names {paths[outside[0]]})" if outside else "",
        )
    return paths


def _is_inside(file: Path, folder: Path) -> bool:
    try:
        return file.resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):  # a loop of links, a null byte
        return False


def _formats() -> list[str]:
    from PIL import Image

    Image.init()
    return [name for name in Image.OPEN if name not in _NO_PICTURES]


def _is_picture(path: Path) -> bool:
    """Whether Pillow knows a file's content, or else its suffix: then it is a damaged image."""
    from PIL import Image, UnidentifiedImageError

    if path.exists() and not path.is_file():
        return False
    try:
        with Image.open(path, formats=_formats()):
            return True
    except UnidentifiedImageError:
        return Image.registered_extensions().get(path.suffix.lower()) in _formats()
    except Exception:  # it is told as one that cannot be read, as a link to nothing is
        return True


def _has_frames(image: Any) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # a later frame is damaged
        return True


def _decoded(folder: Path, paths: Mapping[str, Path], notes: Sequence[str]) -> ImageFolder:
    from PIL import Image

    images, bad, odd = [], [], _Oddities()
    content = hashlib.sha256()
    formats = _formats()
    for name, path in paths.items():
        try:
            with Image.open(path, formats=formats) as image:
                pixels = np.asarray(to_rgb(image))
                odd.note(name, image)
        except Exception as error:  # Pillow's decoders raise anything of damaged files
            why = getattr(error, "strerror", None) or in_one_line(error)
            bad.append(f"{path.name[-80:]} ({why})")
            continue
        content.update(f"{name}{pixels.shape}".encode())
        content.update(pixels.tobytes())
        images.append(pixels)
    if bad:
        which = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise MMBenchError(f"{folder}: {len(bad)} of {len(paths)} images cannot be read: {which}")
    said = [*notes, *odd.notes(folder.name)]
    return ImageFolder(list(paths), images, content.hexdigest(), said)
