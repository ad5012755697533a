"""Karpathy's JSON of COCO, Flickr30k and Flickr8k: images with their captions and their split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.data.table import Kind, Reader, Table
from mmbench.data.text_files import layout, read_json


class Karpathy(Reader):
    """`{images: [{filename, filepath, split, sentences: [{raw}]}]}` of Karpathy and Fei-Fei 2015.

    Attributes:
        splits: the names of the split in the file; COCO's train is `[train, restval]`.
        table: the file, below the dataset's folder.
        images: the folder of the images; COCO's lie in one by `filepath` below it.
    """

    kinds = ("captions",)

    splits: list[str]
    table: str
    images: str = "."

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        path = folder / self.table
        rows: list[dict[str, Any]] = []
        images = {}
        with layout(path, "a file of Karpathy's splits, {images: [{filename, sentences}]}"):
            for image in read_json(path)["images"]:
                if image["split"] not in self.splits:
                    continue
                name = image["filename"]
                rows.append(
                    {
                        "id": str(image.get("cocoid", image["imgid"])),
                        "image": name,
                        "captions": [sentence["raw"].strip() for sentence in image["sentences"]],
                    }
                )
                images[name] = folder / self.images / image.get("filepath", "") / name
        return Table(rows, {"image": images})
