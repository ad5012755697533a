"""Features that a linear probe is fitted on: an encoder's, a random one's, and what it reads."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.data.media import at_hand
from mmbench.data.words import Vocabulary
from mmbench.zoo.encoders.base import Encoder

_AT_ONCE = 128
_PIXELS, _FRAME_PIXELS = 32, 8  # the most a side of an image, and of a video's frame
_MOST_WORDS = 5000


class HasValues(Protocol):
    """Samples by what they hold of a modality."""

    @property
    def values(self) -> Sequence[Any]:
        """Media or texts."""


@dataclass(frozen=True)
class Features:
    """Features of the samples of several splits.

    Attributes:
        about: what they are.
        by_split: (N, F) float32 each.
    """

    about: str
    by_split: Mapping[str, Tensor]

    @property
    def width(self) -> int:
        """F."""
        return next(iter(self.by_split.values())).shape[1]


def encoder_features(
    encoder: Encoder, parts: Mapping[str, HasValues], device: torch.device
) -> Features:
    """The encoder's tokens, pooled as it pools them, in evaluation mode."""
    encoder = encoder.to(device).eval()
    found: dict[str, Tensor] = {}
    with torch.inference_mode():
        for split, part in parts.items():
            rows = []
            for start in range(0, len(part.values), _AT_ONCE):
                x, mask = encoder.read(at_hand(part.values[start : start + _AT_ONCE]))
                stream = encoder(x.to(device), None if mask is None else mask.to(device))
                rows.append(encoder.pool(stream).float().cpu())
            found[split] = torch.cat(rows)
    return Features(f"{type(encoder).__name__}, pooled by {encoder.pooling.kind}", found)


def forgetful(encoder: Encoder) -> Encoder:
    """A copy of an encoder whose weights are drawn anew, those of a frozen network too."""
    made = copy.deepcopy(encoder)
    networks = [made, *getattr(made, "_frozen", ())]
    for network in networks:
        drawn = set()
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
                drawn |= {id(parameter) for parameter in module.parameters(recurse=False)}
        for parameter in network.parameters():
            if id(parameter) not in drawn:  # positions, class tokens
                nn.init.normal_(parameter, std=0.02)
    return made


def raw_features(modality: str, parts: Mapping[str, HasValues]) -> Features:
    """What an encoder of a modality reads, as numbers."""
    if modality == "text":
        return _counts(parts)
    side = _PIXELS if modality == "image" else _FRAME_PIXELS
    found = {
        split: torch.stack([_flat(value.array(), side) for value in part.values])
        for split, part in parts.items()
    }
    about = {
        "image": f"pixels, at most {_PIXELS} a side",
        "video": f"pixels of frames, at most {_FRAME_PIXELS} a side",
        "audio": "samples of the sound",
    }
    return Features(about[modality], found)


def _flat(values: Any, side: int) -> Tensor:
    """Pixels or samples in a row, from 0 to 1; pixels shrunk by the mean of areas."""
    x = torch.from_numpy(np.array(values)).float()
    if x.ndim < 3:
        return x.flatten() / 32768
    planes = x.reshape(-1, *x.shape[-3:]).movedim(-1, 1)  # (T, 3, H, W)
    if max(planes.shape[-2:]) > side:
        planes = functional.interpolate(planes, (side, side), mode="area")
    return planes.flatten() / 255


def _counts(parts: Mapping[str, HasValues]) -> Features:
    """How often each word of the training texts is in a text."""
    words = Vocabulary(Vocabulary.of(map(str, parts["train"].values)).words[:_MOST_WORDS])
    found = {}
    for split, part in parts.items():
        rows = torch.zeros(len(part.values), len(words))
        for place, numbers in enumerate(words.rows(map(str, part.values))):
            rows[place] = torch.from_numpy(np.bincount(numbers, minlength=len(words))).float()
        found[split] = rows
    return Features("counts of words", found)
