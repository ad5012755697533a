"""The official layout of Flickr8k: a file of captions, a list of images a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.data.table import Kind, Reader, Table
from mmbench.data.text_files import layout, read_lines, read_text, text_lines
from mmbench.errors import MMBenchError


class Flickr8k(Reader):
    """`image.jpg#0<tab>caption` a line, five an image.

    Attributes:
        names: the file that names the split's images.
        captions: the file of all captions.
        images: the folder of the images.
    """

    kinds = ("captions",)

    names: str
    captions: str = "Flickr8k.token.txt"
    images: str = "Flicker8k_Dataset"

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        path = folder / self.captions
        captions: dict[str, Any] = {}
        with layout(path, "a file of Flickr8k's captions, image#number<tab>caption"):
            for line in filter(None, text_lines(read_text(path))):
                key, caption = line.split("\t", 1)
                name, _ = key.rsplit("#", 1)
                captions.setdefault(name, []).append(caption.strip())
        names = read_lines(folder / self.names)
        without = [name for name in names if name not in captions]
        if without:
            raise MMBenchError(
                f"{folder / self.names} names {len(without):,} images that {path} has no captions "
                f"of: {', '.join(without[:5])}"
            )
        rows = [{"id": name, "image": name, "captions": captions[name]} for name in names]
        return Table(rows, {"image": {name: folder / self.images / name for name in names}})
