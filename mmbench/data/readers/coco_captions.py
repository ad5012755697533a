"""The official layout of COCO's captions, which others share: images, and annotations of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mmbench.data.table import Kind, Reader, Table
from mmbench.data.text_files import layout, read_json


class CocoCaptions(Reader):
    """`{images: [{id, file_name}], annotations: [{id, image_id, caption}]}`; see cocodataset.org.

    Attributes:
        table: the file, below the dataset's folder.
        images: the folder of the images.
        category: a column of the images that scores are broken down by, as nocaps' `domain`.
        draw: so many images, drawn by a hash of their number, each with one caption drawn alike;
            all if not set.
    """

    kinds = ("captions",)

    table: str
    images: str
    category: str | None = None
    draw: int | None = None

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        """A row's `caption_ids` are the numbers of its captions' annotations."""
        path = folder / self.table
        rows: dict[Any, dict[str, Any]] = {}
        with layout(path, "a file of COCO captions, {images: [...], annotations: [...]}"):
            value = read_json(path)
            for image in value["images"]:
                row = {"id": str(image["id"]), "image": image["file_name"]}
                if self.category is not None:
                    row["category"] = image[self.category]
                rows[image["id"]] = row | {"captions": [], "caption_ids": []}
            for annotation in value["annotations"]:
                row = rows[annotation["image_id"]]
                row["captions"].append(annotation["caption"].strip())
                row["caption_ids"].append(annotation["id"])
        chosen = list(rows.values())
        if self.draw is not None:
            chosen = [_one_caption(row) for row in sorted(chosen, key=_place)[: self.draw]]
        images = {row["image"]: folder / self.images / row["image"] for row in chosen}
        return Table(chosen, {"image": images})


def _place(row: dict[str, Any]) -> str:
    """Where an image stands in an order that looks random and is the same everywhere."""
    return hashlib.sha256(f"coco/{row['id']}".encode()).hexdigest()


def _one_caption(row: dict[str, Any]) -> dict[str, Any]:
    chosen = int(_place(row), 16) % max(len(row["captions"]), 1)
    both = {key: row[key][chosen : chosen + 1] for key in ("captions", "caption_ids")}
    return row | both
