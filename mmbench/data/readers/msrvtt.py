"""The official layout of MSR-VTT: one JSON of videos and sentences, and the videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.data.table import Kind, Reader, Table
from mmbench.data.text_files import layout, read_csv, read_json


class MSRVTT(Reader):
    """`{videos: [{video_id, split}], sentences: [{video_id, caption}]}`.

    Attributes:
        split: its name in the file; all videos of the file if not set.
        table: the file, below the dataset's folder.
        videos: the pattern of a video's file; `{video}` stands for its name. A folder of frames
            of the same name without suffix does as well.
        only: a CSV with the columns `video_id` and `sentence`, whose videos and single captions
            make the split: the 1,000 that retrieval is commonly tested on.
    """

    kinds = ("captions",)

    split: str | None = None
    table: str
    videos: str
    only: str | None = None

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        path = folder / self.table
        rows: dict[str, dict[str, Any]] = {}
        with layout(path, "a file of MSR-VTT, {videos: [...], sentences: [...]}"):
            value = read_json(path)
            for video in value["videos"]:
                name = video["video_id"]
                if self.split in (None, video["split"]):
                    rows[name] = {"id": name, "video": name, "captions": []}
            for sentence in value["sentences"]:
                if sentence["video_id"] in rows:
                    rows[sentence["video_id"]]["captions"].append(sentence["caption"].strip())
        if self.only is not None:
            path = folder / self.only
            with layout(path, "a list of videos, with the columns video_id and sentence"):
                rows = {
                    row["video_id"]: rows[row["video_id"]] | {"captions": [row["sentence"]]}
                    for row in read_csv(path)
                }
        files = {name: folder / self.videos.format(video=name) for name in rows}
        return Table(list(rows.values()), {"video": files})
