"""Readers of the generated scenes: pictures, videos and sounds that are made, not downloaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from mmbench.data.media import MediaSet
from mmbench.data.table import Kind, Reader, Table
from mmbench.scenes.facts import ObjectFact, place

if TYPE_CHECKING:
    from mmbench.scenes.episodes import EpisodeSplit


class Scenes(Reader):
    """Pictures with captions, or with questions.

    Attributes:
        part: the split of the generator; the dataset's split of the same name if None.
        first: only so many pictures, from the start.
        size: pixels a side; the dataset's `image_size`.
        claims: whether captions come with what they claim (see `mmbench.scenes.facts`): a list
            `claims` in each row, of JSON, one a caption.
        attributes: whether rows say what is in the picture: `count`, how many objects, and where
            there is one alone its `shape`, `colour`, `size` and `place`.
    """

    kinds = ("captions", "questions")
    needs_folder = False

    part: str | None = None
    first: int | None = Field(None, ge=1)
    size: Literal[32, 64] = 64
    claims: bool = False
    attributes: bool = False

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
        if self.attributes:
            rows = [row | attributes_of(scenes.objects[row["image"]]) for row in rows]
        return Table(rows, {"image": pictures})


def attributes_of(objects: Sequence[ObjectFact]) -> dict[str, Any]:
    """How many objects a picture has, and what the only one is like; None where there are more."""
    one = objects[0] if len(objects) == 1 else None
    return {
        "count": len(objects),
        "shape": one and one["shape"],
        "colour": one and one["colour"],
        "size": one and one["size"],
        "place": one and place(one["x"], one["y"]),
    }


class Interactions(Reader):
    """Questions of which it is known whether one medium tells the answer, the other, or both.

    Attributes:
        part: the split of the generator; the dataset's split of the same name if None.
        first: only so many pictures, from the start; blocks of 128 pairs, or of 64 pictures
            without sounds, are balanced.
        sound: whether there is a sound to each picture.
        size: pixels a side; the dataset's `image_size`.
    """

    kinds = ("questions",)
    needs_folder = False

    part: str | None = None
    first: int | None = Field(None, ge=1)
    sound: bool = True
    size: Literal[32, 64] = 32

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        from mmbench.scenes.build import load_interactions

        made = load_interactions(self.part or split, self.sound, self.size)
        count = min(self.first or len(made), len(made))
        media = {"image": MediaSet(made.pixels[:count], f"{made.pixels_digest}/{count}")}
        if made.waves is not None:
            media["audio"] = MediaSet(made.waves[:count], f"{made.digest}/{count}", made.RATE)
        rows = [
            {
                **dict.fromkeys(media, place),
                "group": str(place),
                **dict(zip(("text", "target", "category"), asked, strict=True)),
            }
            for place, about in enumerate(made.questions[:count])
            for asked in about
        ]
        return Table(rows, media)


class ScenesWords(Reader):
    """Episodes: pictures with made-up words, and one more picture, which is asked for its word.

    Attributes:
        part: the split of the generator; the dataset's split of the same name if None.
        first: only so many blocks, from the start, of 128 episodes each.
        named: what the words name; which names which differs from family to family.
        size: pixels a side; the dataset's `image_size`.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("questions",)
    needs_folder = False

    part: str | None = None
    first: int | None = Field(None, ge=1)
    named: Literal["colour", "shape"] = "colour"
    size: Literal[32, 64] = 32

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        from mmbench.scenes.episodes import load_episodes

        made = load_episodes(self.part or split, self.named, self.size)
        return Table(self.rows(made), {"image": MediaSet(made.pixels, made.pixels_digest)})

    def rows(self, made: EpisodeSplit) -> list[dict[str, Any]]:
        """A row an episode."""
        return [
            {
                "image": episode.pictures,
                "text": episode.text,
                "target": episode.answer,
                "category": episode.category,
                "group": episode.group,
            }
            for block in made.episodes[: self.first]
            for episode in block
        ]


class ScenesWordsTold(ScenesWords):
    """What made-up words name, told in words alone, as captions of a picture that has such a name.

    Attributes: as of `ScenesWords`.
    """

    kinds = ("captions",)

    def rows(self, made: EpisodeSplit) -> list[dict[str, Any]]:
        """A row for each eight tellings of the same things."""
        rows: list[dict[str, Any]] = []
        for block in made.tellings[: self.first]:
            for start in range(0, len(block), 8):
                some = block[start : start + 8]
                told = [telling.told for telling in some]
                first = some[0]
                group = f"{first.family}/{start}"
                rows.append({"image": first.pictures[-1], "captions": told, "group": group})
        return rows


class ScenesWordsMixed(ScenesWords):
    """What made-up words name, told in words and pictures; the word of the last one is asked for.

    Attributes: as of `ScenesWords`.
    """

    def rows(self, made: EpisodeSplit) -> list[dict[str, Any]]:
        """A row a telling."""
        return [
            {
                "image": telling.pictures,
                "text": telling.text,
                "target": telling.answer,
                "group": f"{telling.family}/{place // 8}",
            }
            for block in made.tellings[: self.first]
            for place, telling in enumerate(block)
        ]


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
        waves = MediaSet(sounds.waves[:count], f"{sounds.digest}/{count}", sounds.RATE)
        return Table(rows, {"audio": waves})
