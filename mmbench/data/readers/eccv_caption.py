"""ECCV Caption: COCO's 5,000 test images with all captions and images that are right in truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.data.readers.coco_captions import CocoCaptions
from mmbench.data.table import Kind, Table
from mmbench.data.text_files import layout, read_json


class ECCVCaption(CocoCaptions):
    """COCO's captions of the images that `gallery` names, with the right items of some.

    Source: Chun et al., ECCV Caption, 2022 (arXiv 2204.03359); files of the package eccv_caption.

    Attributes:
        gallery: COCO's own positives, `{image: [caption, ...]}`, whose keys are the 5,000 images.
        image_to_text, text_to_image: the positives, by image and by caption; only these are asked.
    """

    gallery: str = "original_image_to_caption.json"
    image_to_text: str = "eccv_image_to_caption.json"
    text_to_image: str = "eccv_caption_to_image.json"

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        """Images, and what is right for each.

        A row has `right_captions`, the numbers of the captions that are right for its image, and
        for each of its captions `right_images`, the numbers of the images that are; each is an
        empty list where that image or caption is not asked.
        """
        table = super().read(folder, split, kind)
        gallery = self._positives(folder / self.gallery)
        captions_of = self._positives(folder / self.image_to_text)
        images_of = self._positives(folder / self.text_to_image)
        rows = []
        for row in table.rows:
            if row["id"] not in gallery:
                continue
            own = set(gallery[row["id"]])
            kept = [i for i, number in enumerate(row["caption_ids"]) if number in own]
            numbers = [row["caption_ids"][i] for i in kept]
            rows.append(
                row
                | {
                    "captions": [row["captions"][i] for i in kept],
                    "caption_ids": numbers,
                    "right_captions": captions_of.get(row["id"], []),
                    "right_images": [images_of.get(str(number), []) for number in numbers],
                }
            )
        return Table(rows, table.media)

    def _positives(self, path: Path) -> Mapping[str, list[Any]]:
        with layout(path, "a file of right items, {number: [number, ...]}"):
            return {str(key): list(items) for key, items in read_json(path).items()}
