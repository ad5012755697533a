"""What two splits of a dataset have in common: what a model could know instead of learn.

A medium is the same if what is decoded is, whatever its file is called. An image is nearly the same
if its difference hash is (dHash, of Neal Krawetz: whether a pixel of a small grey copy is brighter
than the one left of it, here 256 bits), and the small copies' colours are: of drawings on a plain
ground the hash alone would call most images of one shape alike, whatever their colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from PIL import Image

from mmbench.data.media import Array, MediaSet

if TYPE_CHECKING:
    from mmbench.data.splits import LoadedSplit

NEAR_BITS = 8  # of 256 that may differ
NEAR_COLOUR = 2.0  # of 255, how far colours of the small copies may differ, in the mean
MOST_PAIRS = 5_000_000_000  # of images: half a minute on two cores
_SMALL = (17, 16)  # width and height of the small copies
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_BLOCK = 2048  # images compared at once


@dataclass(frozen=True)
class InBoth:
    """How much of one split stands in another.

    Attributes:
        same: by modality, how many media are in the other too.
        near: by modality, how many more nearly are; None where that was not looked at.
        of: by modality, how many media there are.
        asked: how many samples ask (or say) the same of the same media as one in the other.
        samples: how many there are.
        not_compared: modalities whose media are too large to be kept decoded.
    """

    same: Mapping[str, int]
    near: Mapping[str, int | None]
    of: Mapping[str, int]
    asked: int
    samples: int
    not_compared: tuple[str, ...] = ()


def in_both(split: LoadedSplit, other: LoadedSplit) -> InBoth:
    """How much of a split stands in another one, such as of test in train."""
    kept = [m for m in split.media if all(_is_kept(s.media.get(m)) for s in (split, other))]
    hashes = {m: _content(split.media[m]) for m in kept}
    others = {m: _content(other.media[m]) for m in kept}
    same: dict[str, int] = {}
    near: dict[str, int | None] = {}
    for modality in kept:
        known = set(others[modality])
        fresh = [row for row, key in enumerate(hashes[modality]) if key not in known]
        same[modality] = len(hashes[modality]) - len(fresh)
        near[modality] = None
        if modality == "image" and len(fresh) * len(others[modality]) <= MOST_PAIRS:
            near[modality] = _nearly_in(split.media[modality], fresh, other.media[modality])
    left_out = tuple(m for m in split.media if m not in kept)
    known_to = set() if left_out else {key for keys in _sayings(other, others) for key in keys}
    asked = sum(bool(keys & known_to) for keys in _sayings(split, hashes))
    return InBoth(same, near, {m: len(hashes[m]) for m in kept}, asked, len(split.rows), left_out)


def scattered(split: LoadedSplit) -> dict[str, tuple[int, int]]:
    """By modality, how many media stand in several groups of a split, and how many differ at all.

    Of media that are decoded and kept, and of which each sample has one.
    """
    found: dict[str, tuple[int, int]] = {}
    for modality, media in split.media.items():
        rows = split.rows.select_columns([f"{modality}_row", "group"]).to_list()
        if not _is_kept(media) or any(isinstance(row[f"{modality}_row"], list) for row in rows):
            continue
        content = _content(media)
        groups: dict[bytes, set[str]] = {key: set() for key in content}
        for row in rows:
            groups[content[row[f"{modality}_row"]]].add(str(row["group"]))
        found[modality] = (sum(len(each) > 1 for each in groups.values()), len(groups))
    return found


def _is_kept(media: MediaSet | None) -> bool:
    return media is not None and isinstance(media.values, np.ndarray)


def _content(media: MediaSet) -> list[bytes]:
    rows = (media.values[row] for row in range(len(media)))
    return [xxhash.xxh3_128_digest(np.ascontiguousarray(values).data) for values in rows]


def _sayings(split: LoadedSplit, hashes: Mapping[str, list[bytes]]) -> Iterator[set[Any]]:
    """Of each sample, its texts in lower case, each with its media."""
    names = ["text", "captions"]
    columns = [n for n in split.rows.column_names if n in names or n.endswith("_row")]
    for row in split.rows.select_columns(columns).to_list():
        media = tuple(found[row[f"{modality}_row"]] for modality, found in hashes.items())
        texts = row.get("captions") or [row.get("text")]
        texts = texts if isinstance(texts, list) else [texts]
        yield {(" ".join(str(text).lower().split()), media) for text in texts}


def _nearly_in(media: MediaSet, rows: list[int], other: MediaSet) -> int:
    """How many of the images in these rows are nearly one of the other set."""
    if not rows:
        return 0
    theirs = _small_copies(other.values)
    ours = _small_copies([media.values[row] for row in rows])
    their_bits, our_bits = _signs(theirs), _signs(ours)
    found = 0
    for start in range(0, len(ours), _BLOCK):
        near = np.zeros(len(ours[start : start + _BLOCK]), bool)
        for at in range(0, len(theirs), _BLOCK):
            product = our_bits[start : start + _BLOCK] @ their_bits[at : at + _BLOCK].T
            alike = (our_bits.shape[1] - product) / 2 <= NEAR_BITS
            for place, others in zip(*np.nonzero(alike & ~near[:, None]), strict=True):
                apart = np.abs(ours[start + place].astype(int) - theirs[at + others]).mean()
                near[place] |= apart <= NEAR_COLOUR
        found += int(near.sum())
    return found


def _small_copies(images: Any) -> Array:
    """(M, 16, 17, 3) uint8."""
    box = Image.Resampling.BOX
    small = [np.asarray(Image.fromarray(image).resize(_SMALL, box)) for image in images]
    return np.stack(small)


def _signs(small: Array) -> Array:
    """The hash's bits as 1 and -1: (M, 256) float32, so that a product counts what differs."""
    grey = small @ _GREY
    return np.where(grey[:, :, 1:] > grey[:, :, :-1], np.float32(1), np.float32(-1)).reshape(
        len(small), -1
    )
