"""Sounds of two to four tones one after the other, with five captions that tell them in order.

Sounds come in pairs: 2i and 2i + 1 are made of the same tones in another order, so that a model
which hears what sounds but not when cannot tell the two apart. All arithmetic is on whole numbers:
the samples are the same on every machine. The sum of the frequencies, modulo 3, is the number of
the split, so that no sound is in two splits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from mmbench.scenes.counter import Dice, IntArray, below, bits, distinct

SOUND_SPLITS = {"train": 8_000, "validation": 1_000, "test": 1_000}
LENGTHS = ("short", "long")
LOUDNESS = ("soft", "loud")
PITCHES = ("low", "middle", "high")
TIMBRES = ("tone", "buzz")
RATE = 4_000  # samples a second
SAMPLES = 8_000  # in a sound: 2 s

_MOST = 4  # tones in a sound
_KINDS = len(LENGTHS) * len(LOUDNESS) * len(PITCHES) * len(TIMBRES)
_COUNTS = np.array([2] + [3] * 3 + [4] * 4)
# The least of each and the number of values it takes, by place in the names above.
FREQUENCY = np.array([(110, 40), (230, 70), (460, 140)])  # Hz
DURATION = np.array([(400, 240), (1440, 320)])  # samples
AMPLITUDE = np.array([(3000, 1000), (13000, 3000)])  # of 32,767
_GAP = 200  # samples between two tones
_FADE = 80  # samples in which a tone swells and dies away
_HARMONICS = ((1000,), (816, 408, 408))  # in thousandths, by timbre; the same power
_ORDERS = {count: list(permutations(range(count))) for count in range(2, _MOST + 1)}

WaveArray = npt.NDArray[np.int16]


class Tone(NamedTuple):
    """A tone as people name it; its start and end are in samples."""

    length: str
    loudness: str
    pitch: str
    timbre: str
    start: int
    end: int


class ToneClaim(TypedDict):
    """What a caption says of one tone."""

    length: str
    loudness: str
    pitch: str
    timbre: str


class SoundClaims(TypedDict):
    """What a caption says: the tones in the order in which they sound; how many, or None."""

    tones: list[ToneClaim]
    count: int | None


class SoundCaption(NamedTuple):
    """A sentence and what it claims."""

    text: str
    claims: SoundClaims


@dataclass(frozen=True)
class Sounds:
    """N sounds as arrays of at most T tones each; those beyond a sound's count are padding.

    Attributes:
        index: (N,), place in the split.
        count: (N,), tones in the sound; 2 to 4 in `scenes_audio`, where T is 4.
        length, loudness, pitch, timbre: (N, T), places in `LENGTHS`, `LOUDNESS`, ...
        start, duration: (N, T), in samples.
        frequency: (N, T), in Hz.
        amplitude: (N, T), of 32,767.
    """

    index: IntArray
    count: IntArray
    length: IntArray
    loudness: IntArray
    pitch: IntArray
    timbre: IntArray
    start: IntArray
    duration: IntArray
    frequency: IntArray
    amplitude: IntArray

    def __len__(self) -> int:
        return len(self.index)

    def tones(self) -> list[list[Tone]]:
        """The tones of each sound, in order."""
        names = (self.length, self.loudness, self.pitch, self.timbre)
        columns = (*names, self.start, self.start + self.duration)
        return [
            [
                Tone(LENGTHS[a], LOUDNESS[b], PITCHES[c], TIMBRES[d], start, end)
                for a, b, c, d, start, end in zip(*rows, strict=True)
            ][:count]
            for count, *rows in zip(
                self.count.tolist(), *(a.tolist() for a in columns), strict=True
            )
        ]


def sample_sounds(split: str, index: IntArray) -> Sounds:
    """The sounds at these places (N,) of a split."""
    stream = f"scenes_audio/{split}"
    count, kind = _kinds(stream, index)
    timbre, kind = kind % len(TIMBRES), kind // len(TIMBRES)
    pitch, kind = kind % len(PITCHES), kind // len(PITCHES)
    loudness, length = kind % len(LOUDNESS), kind // len(LOUDNESS)

    there = np.arange(_MOST) < count[:, None]
    duration = between(f"{stream}/duration", index, DURATION[length]) * there
    amplitude = between(f"{stream}/amplitude", index, AMPLITUDE[loudness])
    frequency = between(f"{stream}/frequency", index, FREQUENCY[pitch])
    total = (frequency * there).sum(axis=1)
    frequency[:, 0] += (list(SOUND_SPLITS).index(split) - total) % len(SOUND_SPLITS)

    # The silence that the tones and the gaps leave is cut in five at four places.
    spare = SAMPLES - duration.sum(axis=1) - _GAP * (count - 1)
    cuts = np.sort(below(bits(f"{stream}/start", index, _MOST), spare[:, None] + 1), axis=1)
    start = cuts + np.cumsum(duration, axis=1) - duration + _GAP * np.arange(_MOST)
    return Sounds(
        *(index, count, length, loudness, pitch, timbre),
        *(start, duration, frequency, amplitude),
    )


def between(stream: str, index: IntArray, limits: IntArray) -> IntArray:
    """Draws (N, k) from `limits` (N, k, 2): the least and the number of values."""
    return limits[..., 0] + below(bits(stream, index, limits.shape[1]), limits[..., 1])


def render_sounds(
    sounds: Sounds, split: str, dataset: str = "scenes_audio", samples: int = SAMPLES
) -> WaveArray:
    """Waveforms (N, samples) int16 at 4 kHz.

    Args:
        sounds: from `sample_sounds` for the same split, or another dataset's.
        split, dataset: whose noise to add.
        samples: in a sound, a multiple of 8; its tones must have ended before.
    """
    noise = bits(f"{dataset}/{split}/noise", sounds.index, samples // 8)
    waves = noise.astype("<u8").view(np.int8).astype("<i2")  # (N, samples)
    tables, steps = _periods(), np.arange(samples)
    fade = np.arange(1, _FADE + 1)
    columns = (sounds.timbre, sounds.start, sounds.duration, sounds.frequency, sounds.amplitude)
    for wave, count, *rows in zip(
        waves, sounds.count.tolist(), *(a.tolist() for a in columns), strict=True
    ):
        for timbre, start, duration, frequency, amplitude in list(zip(*rows, strict=True))[:count]:
            tone = tables[timbre][steps[:duration] * frequency % RATE] * amplitude >> 15
            tone[:_FADE] = tone[:_FADE] * fade // _FADE
            tone[-_FADE:] = tone[-_FADE:] * fade[::-1] // _FADE
            wave[start : start + duration] += tone.astype(np.int16)
    return waves


def sound_captions(tones: Sequence[Tone], dice: Dice) -> list[SoundCaption]:
    """Five captions of a sound, no two alike.

    Args:
        tones: two to four, in order.
        dice: draws the words.
    """
    told = []
    for form in dice.shuffled(_FORMS):
        text = form([_name(tone, dice) for tone in tones], dice)
        count = len(tones) if form is _numbered else None
        told.append(SoundCaption(text, {"tones": [_claim(tone) for tone in tones], "count": count}))
    return told


def _kinds(stream: str, index: IntArray) -> tuple[IntArray, IntArray]:
    """How many tones (N,), and each tone's kind as one number (N, 4); no two of a sound alike."""
    pair = index // 2
    count = _COUNTS[below(bits(f"{stream}/count", pair, 1), len(_COUNTS))[:, 0]]
    kinds = distinct(bits(f"{stream}/kinds", pair, _MOST), _KINDS)
    # The odd one of a pair has them in another order than the even one's, which is the first.
    order = bits(f"{stream}/order", pair, 1)[:, 0]
    for number, orders in _ORDERS.items():
        who = np.flatnonzero((count == number) & (index % 2 == 1))
        drawn = np.array(orders)[1 + below(order[who], len(orders) - 1)]
        kinds[who, :number] = np.take_along_axis(kinds[who], drawn, axis=1)
    return count, kinds


@lru_cache(maxsize=1)
def _periods() -> list[IntArray]:
    """A period of each timbre, in samples of a tone of 1 Hz, of amplitude 32,767.

    No sine here lies within 1e-4 of where rounding turns, so all machines round alike.
    """
    sine = np.array([round(32767 * math.sin(2 * math.pi * k / RATE)) for k in range(RATE)])
    periods = []
    for shares in _HARMONICS:
        steps = np.outer(np.arange(1, len(shares) + 1), np.arange(RATE))
        periods.append(np.array(shares) @ sine[steps % RATE] // 1000)
    return periods


_WORDS = {
    "short": ("short", "brief"),
    "long": ("long", "lasting"),
    "soft": ("soft", "quiet"),
    "loud": ("loud", "strong"),
    "low": ("low", "deep"),
    "middle": ("middle", "medium"),
    "high": ("high", "bright"),
    "tone": ("tone", "note"),
    "buzz": ("buzz", "hum"),
}


def _name(tone: Tone, dice: Dice) -> str:
    """'a brief loud low tone'."""
    return " ".join(["a", *(dice.pick(_WORDS[word]) for word in tone[:4])])


def _claim(tone: Tone) -> ToneClaim:
    return {
        "length": tone.length,
        "loudness": tone.loudness,
        "pitch": tone.pitch,
        "timbre": tone.timbre,
    }


def _then(names: list[str], dice: Dice) -> str:
    return dice.pick((" then ", " and then ")).join(names)


def _followed(names: list[str], dice: Dice) -> str:
    return f"you {dice.pick(('hear', 'can hear'))} {' followed by '.join(names)}"


def _numbered(names: list[str], dice: Dice) -> str:
    number = ("two", "three", "four")[len(names) - 2]
    places = ("first", "second", "third", "fourth")
    parts = [f"the {place} is {name}" for place, name in zip(places, names, strict=False)]
    sounds = dice.pick(("sounds", "signals"))
    return f"of {number} {sounds} {' and '.join(parts)}"


def _begins(names: list[str], dice: Dice) -> str:
    first, *middle, last = names
    goes_on = f" and goes on with {' and '.join(middle)}" if middle else ""
    return (
        f"the {dice.pick(('clip', 'recording'))} starts with {first}{goes_on} and ends with {last}"
    )


def _backwards(names: list[str], dice: Dice) -> str:
    return dice.pick((" after ", " preceded by ")).join(reversed(names))


_FORMS: tuple[Callable[[list[str], Dice], str], ...] = (
    *(_then, _followed, _numbered, _begins, _backwards),
)
