"""Reads pictures of scenes back into objects: what generated pictures are judged with.

A small convolutional detector with a heatmap of centres; at each peak it reads shape, colour, size
and where in the cell the centre lies. It is a measuring device: another network, or the same with
other weights, gives other numbers, so its digest is part of every signature.

Source: Zhou et al., Objects as Points, 2019 (arXiv 1904.07850).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.errors import MMBenchError
from mmbench.metrics.images.features import Pixels, as_pixels
from mmbench.scenes.facts import MOST_CHECKED, ObjectFact
from mmbench.scenes.world import CANVAS, COLOURS, SHAPES, SIZES

FILE = Path(__file__).with_name("recogniser.safetensors")
WEIGHTS = "9cea513a"  # how the SHA-256 of that file begins
SIDE = 32  # pixels a side of what the network sees
CELLS = 16  # cells a side of its heatmap
WIDTH = 64  # features of a cell, and of a picture when pooled
PREPROCESSING = f"pil_box_{SIDE}"

_CELL = CANVAS / CELLS  # pixels of 64 a side of a cell
_LEAST = 0.5  # heat of an object
_APART = 8.0  # pixels of 64 between two centres, along one axis or the other; no two are nearer
_PARTS = (1, 2, len(SHAPES), len(COLOURS), len(SIZES))  # channels of the outputs
_BATCH = 128


class Outputs(NamedTuple):
    """What the network says of each cell, (B, channels, 16, 16): scores before any softmax."""

    heat: Tensor
    offset: Tensor  # of an object's centre from the cell's, x and y in cells
    shape: Tensor
    colour: Tensor
    size: Tensor


class Recogniser(nn.Module):
    """Pictures (B, 3, 32, 32), values 0..1, to outputs for 16x16 cells.

    Attributes:
        centre, spread: (64,), mean and standard deviation of the pooled features of real pictures.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_block(3, 12), _block(12, 40, stride=2), _block(40, 40))
        self.coarse = nn.Sequential(_block(40, 80, stride=2), _block(80, 80), nn.Conv2d(80, 40, 1))
        self.joined = _block(40, WIDTH)
        self.heads = nn.Conv2d(WIDTH, sum(_PARTS), 1)
        self.register_buffer("centre", torch.zeros(WIDTH))
        self.register_buffer("spread", torch.ones(WIDTH))

    def cells(self, pictures: Tensor) -> Tensor:
        """Features of the cells, (B, 64, 16, 16)."""
        fine = self.fine(pictures)
        coarse = F.interpolate(self.coarse(fine), scale_factor=2.0)
        return self.joined(F.relu(fine + coarse))

    def pooled(self, pictures: Tensor) -> Tensor:
        """Features of the pictures, (B, 64), standardised: 0 and 1 over real ones."""
        return (self.cells(pictures).mean((2, 3)) - self.centre) / self.spread

    def forward(self, pictures: Tensor) -> Outputs:
        """(B, 3, 32, 32) -> what is in each cell."""
        return Outputs(*self.heads(self.cells(pictures)).split(_PARTS, dim=1))


def _block(channels: int, width: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )


@lru_cache(maxsize=1)
def recogniser() -> Recogniser:
    """The shipped recogniser, in evaluation mode.

    Raises: MMBenchError where its file is absent, or not the one that the signatures name.
    """
    try:
        content = FILE.read_bytes()
    except OSError as error:
        raise MMBenchError(
            f"the recogniser of scenes cannot be read: {FILE}: {error.strerror}. Install again"
        ) from None
    digest = hashlib.sha256(content).hexdigest()[: len(WEIGHTS)]
    if digest != WEIGHTS:
        raise MMBenchError(
            f"{FILE} is not the shipped recogniser: its SHA-256 begins with {digest}, not with "
            f"{WEIGHTS}. Install again; for a recogniser of your own set WEIGHTS in recogniser.py"
        )
    network = Recogniser()
    network.load_state_dict({name: value.float() for name, value in load(content).items()})
    return network.eval().requires_grad_(False)


def read(pictures: Sequence[Any]) -> list[list[ObjectFact]]:
    """The objects in each picture, the surest first, at most eight.

    What is unclear is read as what it looks most like: nothing is abstained from.

    Args:
        pictures: (N, H, W, 3) uint8, RGB, or a sequence of such pictures of any sizes.
    Returns: N lists; x and y in pixels of 64 whatever the size of the picture.
    Raises: MMBenchError where one is no picture.
    """
    return read_with(recogniser(), pictures)


@torch.inference_mode()
def read_with(network: Recogniser, pictures: Sequence[Any]) -> list[list[ObjectFact]]:
    """`read` by this network, which is in evaluation mode."""
    found: list[list[ObjectFact]] = []
    for start in range(0, len(pictures), _BATCH):
        stop = min(start + _BATCH, len(pictures))
        inputs = [prepare(as_pixels(pictures[row], row)) for row in range(start, stop)]
        found += _objects(network(torch.stack(inputs)))
    return found


def prepare(picture: Pixels) -> Tensor:
    """The network's input (3, 32, 32), values 0..1: larger pictures are averaged down."""
    if picture.shape[:2] != (SIDE, SIDE):
        resized = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX)
        picture = np.asarray(resized)
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255


def _objects(outputs: Outputs) -> list[list[ObjectFact]]:
    """At each peak of the heat an object, unless a hotter one is too near."""
    heat = outputs.heat.sigmoid()[:, 0]  # (B, 16, 16)
    peaks = (heat == F.max_pool2d(heat, 3, 1, 1)) & (heat >= _LEAST)
    found: list[list[ObjectFact]] = [[] for _ in heat]
    places = peaks.nonzero()
    hottest_first = heat[tuple(places.T)].argsort(descending=True, stable=True)
    for picture, row, column in places[hottest_first].tolist():
        offset, shape, colour, size = (part[picture, :, row, column] for part in outputs[1:])
        across, down = offset.tolist()
        x, y = (column + 0.5 + across) * _CELL, (row + 0.5 + down) * _CELL
        objects = found[picture]
        near = any(max(abs(x - o["x"]), abs(y - o["y"])) < _APART for o in objects)
        if not near and len(objects) < MOST_CHECKED:
            objects.append(
                {
                    "shape": SHAPES[int(shape.argmax())],
                    "colour": COLOURS[int(colour.argmax())],
                    "size": SIZES[int(size.argmax())],
                    "x": x,
                    "y": y,
                }
            )
    return found
