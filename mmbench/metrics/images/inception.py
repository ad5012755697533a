"""The Inception-v3 of the Frechet inception distance, and its way of resizing images.

It is TensorFlow's network of 2015-12-05, with 1,008 classes, and differs from the Inception-v3 of
later model zoos in its weights, its pooling and its resize; a distance on another one is no FID.
Parameters are named as in the published weights file, which torch-fidelity (and through it
torchmetrics) and pytorch-fid share.

Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2015 (arXiv
1512.00567), with the deviations that torch-fidelity documents; equal to its features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 299
WIDTH = 2048
CLASSES = 1008

# One convolution of a branch: the ending of its name, output channels, kernel, stride.
Step = tuple[str, int, tuple[int, int], int]


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU; padded to keep the size where the stride is 1."""

    def __init__(self, width: int, out: int, kernel: tuple[int, int], stride: int, pad: bool):
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(width, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out, H', W')."""
        return F.relu(self.bn(self.conv(x)))


# TensorFlow's average leaves the padding out of the count. The last block takes the maximum.
POOLS = {
    "average": partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False),
    "maximum": partial(F.max_pool2d, kernel_size=3, stride=1, padding=1),
    "halve": partial(F.max_pool2d, kernel_size=3, stride=2),
}


class Mixed(nn.Module):
    """Branches of convolutions over one input, and a pooled branch, side by side.

    Args:
        width: input channels.
        branches: steps by the branch's name. Steps whose ending closes with a letter (2a, 2b) all
            take what the step before them gives, and stand side by side in the output.
        pool: one of POOLS; with `pooled` channels it is followed by a convolution.
    """

    def __init__(
        self, width: int, branches: Mapping[str, Sequence[Step]], pool: str, pooled: int = 0
    ):
        super().__init__()
        self.chains: list[list[str]] = []
        for branch, steps in branches.items():
            channels, chain = width, []
            for ending, out, kernel, stride in steps:
                name = f"branch{branch}{ending}"
                self.add_module(name, Convolution(channels, out, kernel, stride, pad=stride == 1))
                chain.append(name)
                if not ending.endswith(("a", "b")):
                    channels = out
            self.chains.append(chain)
        self.pool = POOLS[pool]
        self.branch_pool = Convolution(width, pooled, (1, 1), 1, pad=False) if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, sum of the branches' channels, H', W')."""
        outputs = []
        for chain in self.chains:
            y, forks = x, []
            for name in chain:
                step = self.get_submodule(name)
                if name.endswith(("a", "b")):
                    forks.append(step(y))
                else:
                    y = step(y)
            outputs += forks or [y]
        pooled = self.pool(x)
        outputs.append(pooled if self.branch_pool is None else self.branch_pool(pooled))
        return torch.cat(outputs, dim=1)


def _block_35(width: int, pooled: int) -> Mixed:
    branches: dict[str, list[Step]] = {
        "1x1": [("", 64, (1, 1), 1)],
        "5x5": [("_1", 48, (1, 1), 1), ("_2", 64, (5, 5), 1)],
        "3x3dbl": [("_1", 64, (1, 1), 1), ("_2", 96, (3, 3), 1), ("_3", 96, (3, 3), 1)],
    }
    return Mixed(width, branches, "average", pooled)


def _to_17() -> Mixed:
    branches: dict[str, list[Step]] = {
        "3x3": [("", 384, (3, 3), 2)],
        "3x3dbl": [("_1", 64, (1, 1), 1), ("_2", 96, (3, 3), 1), ("_3", 96, (3, 3), 2)],
    }
    return Mixed(288, branches, "halve")


def _block_17(c: int) -> Mixed:
    row, column = (1, 7), (7, 1)
    branches: dict[str, list[Step]] = {
        "1x1": [("", 192, (1, 1), 1)],
        "7x7": [("_1", c, (1, 1), 1), ("_2", c, row, 1), ("_3", 192, column, 1)],
        "7x7dbl": [
            ("_1", c, (1, 1), 1),
            ("_2", c, column, 1),
            ("_3", c, row, 1),
            ("_4", c, column, 1),
            ("_5", 192, row, 1),
        ],
    }
    return Mixed(768, branches, "average", 192)


def _to_8() -> Mixed:
    branches: dict[str, list[Step]] = {
        "3x3": [("_1", 192, (1, 1), 1), ("_2", 320, (3, 3), 2)],
        "7x7x3": [
            ("_1", 192, (1, 1), 1),
            ("_2", 192, (1, 7), 1),
            ("_3", 192, (7, 1), 1),
            ("_4", 192, (3, 3), 2),
        ],
    }
    return Mixed(768, branches, "halve")


def _block_8(width: int, pool: str) -> Mixed:
    branches: dict[str, list[Step]] = {
        "1x1": [("", 320, (1, 1), 1)],
        "3x3": [("_1", 384, (1, 1), 1), ("_2a", 384, (1, 3), 1), ("_2b", 384, (3, 1), 1)],
        "3x3dbl": [
            ("_1", 448, (1, 1), 1),
            ("_2", 384, (3, 3), 1),
            ("_3a", 384, (1, 3), 1),
            ("_3b", 384, (3, 1), 1),
        ],
    }
    return Mixed(width, branches, pool, 192)


class InceptionV3(nn.Module):
    """Images (B, 3, 299, 299), values 0..255 -> pooled features (B, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        three = (3, 3)
        self.Conv2d_1a_3x3 = Convolution(3, 32, three, 2, pad=False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, three, 1, pad=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, three, 1, pad=True)
        self.Conv2d_3b_1x1 = Convolution(64, 80, (1, 1), 1, pad=False)
        self.Conv2d_4a_3x3 = Convolution(80, 192, three, 1, pad=False)
        self.Mixed_5b = _block_35(192, 32)
        self.Mixed_5c = _block_35(256, 64)
        self.Mixed_5d = _block_35(288, 64)
        self.Mixed_6a = _to_17()
        self.Mixed_6b = _block_17(128)
        self.Mixed_6c = _block_17(160)
        self.Mixed_6d = _block_17(160)
        self.Mixed_6e = _block_17(192)
        self.Mixed_7a = _to_8()
        self.Mixed_7b = _block_8(1280, "average")
        self.Mixed_7c = _block_8(2048, "maximum")
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features (B, 2048) of images (B, 3, 299, 299) with values 0..255."""
        x = (images - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, 2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, 2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean(dim=(2, 3))


def resize_as_tensorflow_1(image: Tensor, size: int = SIZE) -> Tensor:
    """Bilinear resize (3, H, W) -> (3, size, size) as TensorFlow 1 did for the published FID.

    Pixel i of the output lies at i * H / size of the input, without the half pixel that later
    libraries add, and nothing is smoothed where an image shrinks.
    """
    for axis in (1, 2):
        length = image.shape[axis]
        position = torch.arange(size, dtype=torch.float32) * torch.tensor(length / size)
        low = position.long()
        share = (position - low).view((1, -1, 1) if axis == 1 else (1, 1, -1))
        before = image.index_select(axis, low)
        after = image.index_select(axis, (low + 1).clamp_max(length - 1))
        image = before + (after - before) * share
    return image
