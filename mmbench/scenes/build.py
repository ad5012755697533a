"""The splits of `scenes`, `scenes_video`, `scenes_audio` and `interactions`, ready to read.

A split is made when it is first loaded, which takes seconds, and kept in the cache folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from mmbench.errors import MMBenchError, did_you_mean
from mmbench.scenes import store
from mmbench.scenes.audio import (
    RATE,
    SOUND_SPLITS,
    SoundCaption,
    WaveArray,
    render_sounds,
    sample_sounds,
    sound_captions,
)
from mmbench.scenes.captions import Caption, captions
from mmbench.scenes.counter import Dice, IntArray
from mmbench.scenes.facts import ObjectFact, object_facts
from mmbench.scenes.interactions import (
    PAIRS,
    PICTURES,
    SAMPLES,
    Asked,
    sample_pairs,
    sample_pictures,
    scenes_of,
    sounds_of,
)
from mmbench.scenes.questions import Question, questions
from mmbench.scenes.render import ByteArray, render
from mmbench.scenes.store import Advanced, Content
from mmbench.scenes.video import (
    VIDEO_SPLITS,
    VideoCaption,
    render_videos,
    sample_videos,
    video_captions,
)
from mmbench.scenes.world import SPLITS, sample_scenes

AnyCaption = TypeVar("AnyCaption")
T = TypeVar("T")


class Told(Generic[AnyCaption]):
    """What the splits of the three datasets with captions have; text is read when first asked for.

    Attributes:
        split: its name.
        digest: a hash of all its content.
        texts: N lists of five captions, their words alone; read in a tenth of the time.
        captions: N lists of five captions with their claims.
    """

    def __init__(
        self, split: str, caption: Callable[[str, Any], AnyCaption], *folders: Path
    ) -> None:
        self.split = split
        self.digest = store.digest(*folders)
        self._folder = folders[0]
        self._caption = caption

    @cached_property
    def texts(self) -> list[list[str]]:
        """The words of the captions."""
        return list(store.table(self._folder, "texts"))

    @cached_property
    def captions(self) -> list[list[AnyCaption]]:
        """Captions with their claims."""
        with store.collector_paused():
            pairs = zip(self.texts, store.table(self._folder, "claims"), strict=True)
            return [list(map(self._caption, *pair)) for pair in pairs]


class SceneSplit(Told[Caption]):
    """A split of `scenes`.

    Attributes:
        pixels: (N, size, size, 3) uint8, memory-mapped.
        pixels_digest: a hash of the pixels.
        questions: N lists of questions.
        objects: N lists of the objects in the picture.
    """

    def __init__(self, split: str, text: Path, pictures: Path) -> None:
        super().__init__(split, Caption, text, pictures)
        self.pixels: ByteArray = store.array(pictures, "pixels")
        self.pixels_digest = store.digest(pictures)

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def questions(self) -> list[list[Question]]:
        """Questions and their answers."""
        with store.collector_paused():
            rows = store.table(self._folder, "questions")
            return [[Question(*question) for question in row] for row in rows]

    @cached_property
    def objects(self) -> list[list[ObjectFact]]:
        """The objects in each picture."""
        return list(store.table(self._folder, "objects"))


class VideoSplit(Told[VideoCaption]):
    """A split of `scenes_video`.

    Attributes:
        pixels: (N, 16, 32, 32, 3) uint8, memory-mapped.
    """

    def __init__(self, split: str, folder: Path) -> None:
        super().__init__(split, VideoCaption, folder)
        self.pixels: ByteArray = store.array(folder, "pixels")

    def __len__(self) -> int:
        return len(self.pixels)


class SoundSplit(Told[SoundCaption]):
    """A split of `scenes_audio`.

    Attributes:
        waves: (N, 8000) int16, memory-mapped.
        RATE: samples a second.
    """

    RATE = RATE

    def __init__(self, split: str, folder: Path) -> None:
        super().__init__(split, SoundCaption, folder)
        self.waves: WaveArray = store.array(folder, "waves")

    def __len__(self) -> int:
        return len(self.waves)


class InteractionSplit:
    """A split of `interactions`, or of `interactions_image`, which has no sounds.

    Attributes:
        split: its name.
        pixels: (N, size, size, 3) uint8, memory-mapped.
        pixels_digest: a hash of the pixels.
        waves: (N, 2000) int16, memory-mapped; None where there are none.
        digest: a hash of waves and questions.
        RATE: samples a second.
    """

    RATE = RATE

    def __init__(self, split: str, sound: bool, told: Path, pictures: Path) -> None:
        self.split = split
        self.pixels: ByteArray = store.array(pictures, "pixels")
        self.pixels_digest = store.digest(pictures)
        self.waves: WaveArray | None = store.array(told, "waves") if sound else None
        self.digest = store.digest(told)
        self._folder = told

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def questions(self) -> list[list[list[str]]]:
        """By picture, [question, answer, category] of each that is asked about it."""
        return list(store.table(self._folder, "questions"))


def load_scenes(split: str, size: int = 64, advanced: Advanced | None = None) -> SceneSplit:
    """A split of `scenes`: 20,000 pictures to train on, 2,000 in each of the others.

    Args:
        split: train, validation, test, or compositional, whose pictures each hold a combination
            of colour and shape that is in none of the others.
        size: pixels a side, 64 or 32.
        advanced: called with items made and items to make while the split is made.
    Raises: MMBenchError if there is no such split or the cache cannot be written.
    """
    count = _count("scenes", SPLITS, split)
    parts = {
        f"scenes-{split}": partial(scene_text, split),
        f"scenes-{split}-{size}": partial(scene_pictures, split, size),
    }
    return SceneSplit(split, *store.stored(parts, count, advanced))


def load_videos(split: str, advanced: Advanced | None = None) -> VideoSplit:
    """A split of `scenes_video`: 8,000 videos to train on, 1,000 in each of the others.

    Args:
        split: train, validation or test.
        advanced: called with items made and items to make while the split is made.
    Raises: MMBenchError if there is no such split or the cache cannot be written.
    """
    count = _count("scenes_video", VIDEO_SPLITS, split)
    parts = {f"scenes_video-{split}": partial(video_content, split)}
    return VideoSplit(split, *store.stored(parts, count, advanced))


def load_sounds(split: str, advanced: Advanced | None = None) -> SoundSplit:
    """A split of `scenes_audio`: 8,000 sounds to train on, 1,000 in each of the others.

    Args:
        split: train, validation or test.
        advanced: called with items made and items to make while the split is made.
    Raises: MMBenchError if there is no such split or the cache cannot be written.
    """
    count = _count("scenes_audio", SOUND_SPLITS, split)
    parts = {f"scenes_audio-{split}": partial(sound_content, split)}
    return SoundSplit(split, *store.stored(parts, count, advanced))


def load_interactions(
    split: str, sound: bool = True, size: int = 32, advanced: Advanced | None = None
) -> InteractionSplit:
    """A split of `interactions`, 8,192 questions to train on, or of `interactions_image`.

    Args:
        split: train, validation or test.
        sound: whether each picture has a sound beside it.
        size: pixels a side, 64 or 32.
        advanced: called with items made and items to make while the split is made.
    Raises: MMBenchError if there is no such split or the cache cannot be written.
    """
    dataset = "interactions" if sound else "interactions_image"
    count = _count(dataset, PAIRS if sound else PICTURES, split)
    parts = {
        f"{dataset}-{split}": partial(interaction_content, split, sound),
        f"{dataset}-{split}-{size}": partial(interaction_pictures, split, sound, size),
    }
    return InteractionSplit(split, sound, *store.stored(parts, count, advanced))


def scene_text(split: str, index: IntArray) -> Content:
    """Captions, questions and objects of the scenes at these places of a split."""
    objects = sample_scenes(split, index).objects()
    told = _each(captions, objects, f"scenes/{split}/captions", index)
    asked = _each(questions, objects, f"scenes/{split}/questions", index)
    return _columns(told) | {"questions": asked, "objects": [object_facts(o) for o in objects]}


def scene_pictures(split: str, size: int, index: IntArray) -> Content:
    """Pictures of the scenes at these places of a split."""
    return {"pixels": render(sample_scenes(split, index), split, size)}


def video_content(split: str, index: IntArray) -> Content:
    """Videos and captions at these places of a split."""
    videos = sample_videos(split, index)
    told = _each(video_captions, videos.objects(), f"scenes_video/{split}/captions", index)
    return _columns(told) | {"pixels": render_videos(videos, split)}


def sound_content(split: str, index: IntArray) -> Content:
    """Waveforms and captions at these places of a split."""
    sounds = sample_sounds(split, index)
    told = _each(sound_captions, sounds.tones(), f"scenes_audio/{split}/captions", index)
    return _columns(told) | {"waves": render_sounds(sounds, split)}


def interaction_content(split: str, sound: bool, index: IntArray) -> Content:
    """Questions, and sounds if there are any, at these places of a split."""
    if not sound:
        return {"questions": _plain(sample_pictures(split, index).asked())}
    pairs = sample_pairs(split, index)
    waves = render_sounds(sounds_of(pairs, split), split, "interactions", SAMPLES)
    return {"questions": _plain(pairs.asked()), "waves": waves}


def interaction_pictures(split: str, sound: bool, size: int, index: IntArray) -> Content:
    """Pictures at these places of a split."""
    shown = sample_pairs(split, index) if sound else sample_pictures(split, index)
    dataset = "interactions" if sound else "interactions_image"
    return {"pixels": render(scenes_of(shown, split), split, size, dataset)}


def _plain(asked: Sequence[Sequence[Asked]]) -> list[list[list[str]]]:
    return [[[one.question, one.answer, one.category] for one in item] for item in asked]


def _each(
    tell: Callable[[Any, Dice], list[T]], items: Sequence[Any], stream: str, index: IntArray
) -> list[list[T]]:
    return [tell(item, dice) for item, dice in zip(items, Dice.of(stream, index), strict=True)]


def _columns(told: Sequence[Sequence[Any]]) -> dict[str, Any]:
    return {
        "texts": [[caption.text for caption in item] for item in told],
        "claims": [[caption.claims for caption in item] for item in told],
    }


def _count(dataset: str, splits: Mapping[str, int], split: str) -> int:
    if split not in splits:
        raise MMBenchError(
            f"{dataset} has no split '{split}'.{did_you_mean(split, splits)} "
            f"It has {', '.join(splits)}."
        )
    return splits[split]
