"""WebDataset: tar archives of images with their captions, as img2dataset writes them."""

from __future__ import annotations

import posixpath
import tarfile
from pathlib import Path
from typing import Any

from mmbench.data.checks import files_below
from mmbench.data.readers.columns import without_nan
from mmbench.data.stored import FilePart
from mmbench.data.table import Kind, Reader, Table
from mmbench.errors import MMBenchError

IMAGES = (".jpg", ".jpeg", ".png", ".webp")


class WebDataset(Reader):
    """`key.jpg` and `key.txt` beside each other in shards.

    Shards must not be compressed. Each is read once from end to end to find its members; images
    are then read from where they lie. Members without their partner are left alone: img2dataset
    keeps those of failed downloads.

    Attributes:
        shards: the pattern of the shards below the dataset's folder: `*.tar`.
        most: samples, of the first shards; all if not set.
    """

    kinds = ("captions",)

    shards: str
    most: int | None = None

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        paths = files_below(folder, self.shards)
        if not paths:
            raise MMBenchError(f"{folder} holds no shards {self.shards}")
        rows: list[dict[str, Any]] = []
        images: dict[str, FilePart] = {}
        for path in paths:
            found = _members(path)
            shard = path.relative_to(folder).with_suffix("")
            for name, (image, caption) in found.items():
                key = f"{shard}/{name}"
                if image is not None and caption is not None:
                    rows.append({"id": key, "image": key, "captions": [_text(caption)]})
                    images[key] = image
            if self.most is not None and len(rows) >= self.most:
                rows = rows[: self.most]
                break
        return Table(rows, {"image": images})


def _members(path: Path) -> dict[str, tuple[FilePart | None, bytes | None]]:
    """By key, the image and the caption of a shard, where it has them."""
    found: dict[str, tuple[FilePart | None, bytes | None]] = {}
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                if not member.isfile():
                    continue
                parent, name = posixpath.split(member.name)
                stem, dot, suffix = name.partition(".")
                stem = posixpath.join(parent, stem)
                image, caption = found.get(stem, (None, None))
                if dot + suffix.lower() in IMAGES:
                    image = FilePart(path, member.name, member.offset_data, member.size)
                elif suffix == "txt":
                    file = shard.extractfile(member)
                    assert file is not None  # it is a file
                    caption = file.read()
                found[stem] = (image, caption)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise MMBenchError(f"{path} is not a tar archive that can be read: {error}") from None
    return found


def _text(content: bytes) -> str | bytes | None:
    """A caption; what is not UTF-8 stays, for the check of rows to name."""
    try:
        return without_nan(content.decode("utf-8-sig").strip())
    except UnicodeDecodeError:
        return content
