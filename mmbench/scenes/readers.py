"""Readers of the generated scenes: pictures, videos and sounds that are made, not downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mmbench.data.media import MediaSet
from mmbench.data.table import Kind, Reader, Table


class Scenes(Reader):
    """Pictures with captions, or with questions.

    Attributes:
        part: the split of the generator; the dataset's split of the same name if None.
        first: only so many pictures, from the start.
        size: pixels a side; the dataset's `image_size`.
        claims: whether captions come with what they claim (see `mmbench.scenes.facts`): a list
            `claims` in each row, of JSON, one a caption.
    """

    kinds = ("captions", "questions")
    needs_folder = False

    part: str | None = None
    first: int | None = Field(None, ge=1)
    size: Literal[32, 64] = 64
    claims: bool = False

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        from mmbench.scenes.build import load_scenes

        scenes = load_scenes(self.part or split, self.size)
        count = min(self.first or len(scenes), len(scenes))
        pictures = MediaSet(scenes.pixels[:count], f"{scenes.pixels_digest}/{count}")
        rows: list[dict[str, Any]] = []
        if kind == "captions":
            texts = scenes.texts[:count]
            rows = [{"image": image, "captions": told} for image, told in enumerate(texts)]
            if self.claims:
                for row, told in zip(rows, scenes.captions, strict=False):  # rows may be fewer
                    row["claims"] = [json.dumps(caption.claims) for caption in told]
        else:
            for image, asked in enumerate(scenes.questions[:count]):
                rows += [
                    {"image": image, "text": q.question, "target": q.answer, "category": q.category}
                    for q in asked
                ]
        return Table(rows, {"image": pictures})


class ScenesVideo(Reader):
    """Videos with captions that need the motion.

    Attributes:
        part: the split of the generator; the dataset's split of the same name if None.
        first: only so many videos, from the start.
    """

    kinds = ("captions",)
    needs_folder = False

    part: str | None = None
    first: int | None = Field(None, ge=1)

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        from mmbench.scenes.build import load_videos

        videos = load_videos(self.part or split)
        count = min(self.first or len(videos), len(videos))
        rows = [{"video": place, "captions": videos.texts[place]} for place in range(count)]
        return Table(rows, {"video": MediaSet(videos.pixels[:count], f"{videos.digest}/{count}")})


class ScenesAudio(Reader):
    """Sequences of tones with captions that need the order.

    Attributes:
        part: the split of the generator; the dataset's split of the same name if None.
        first: only so many sounds, from the start.
    """

    kinds = ("captions",)
    needs_folder = False

    part: str | None = None
    first: int | None = Field(None, ge=1)

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        from mmbench.scenes.build import load_sounds

        sounds = load_sounds(self.part or split)
        count = min(self.first or len(sounds), len(sounds))
        rows = [{"audio": place, "captions": sounds.texts[place]} for place in range(count)]
        return Table(rows, {"audio": MediaSet(sounds.waves[:count], f"{sounds.digest}/{count}")})
