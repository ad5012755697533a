"""The official layout of HowTo100M: a list of videos, and what is said in each, by time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.data.readers.columns import without_nan
from mmbench.data.stored import Clip
from mmbench.data.table import Kind, Reader, Table
from mmbench.data.text_files import layout, read_csv, read_json


class HowTo100M(Reader):
    """Clips of videos with the words that are spoken in them.

    Attributes:
        videos: the CSV of the videos, with the column `video_id`.
        captions: `caption.json`, {video: {start: [...], end: [...], text: [...]}}; or the pattern
            of a CSV a video with these columns, `captions/{video}.csv`.
        files: the pattern of a video's file; `{video}` stands for its name.
    """

    kinds = ("captions",)

    videos: str = "HowTo100M_v1.csv"
    captions: str = "caption.json"
    files: str = "videos/{video}.mp4"

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        """The clips of a split; a clip's group is its video."""
        path = folder / self.videos
        with layout(path, "HowTo100M's list of videos, with the column video_id"):
            names = list(dict.fromkeys(row["video_id"] for row in read_csv(path)))
        whole = None if "{video}" in self.captions else read_json(folder / self.captions)
        rows: list[dict[str, Any]] = []
        clips = {}
        for name in names:
            path = folder / self.captions.format(video=name)
            file = folder / self.files.format(video=name)
            with layout(path, "a file of HowTo100M's captions, with start, end and text"):
                for start, end, text in _captions(path, whole, name):
                    key = f"{name}/{len(rows)}"
                    rows.append({"group": name, "id": key, "video": key, "captions": [text]})
                    clips[key] = Clip(file, start, end)
        return Table(rows, {"video": clips})


def _captions(path: Path, whole: Any, name: str) -> list[tuple[float, float, Any]]:
    """Start and end in seconds, and the words between."""
    if whole is not None:
        found = whole[name]
        triples = list(zip(found["start"], found["end"], found["text"], strict=True))
    else:
        rows = read_csv(path)
        triples = [(row["start"], row["end"], without_nan(row["text"])) for row in rows]
    return [(float(start), float(end), text) for start, end, text in triples]
