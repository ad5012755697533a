"""Augmentation of images as tensor operations, on the device where they are.

Source: Chen et al., A Simple Framework for Contrastive Learning (SimCLR), 2020 (arXiv 2002.05709),
appendix A: random crop and resize with flip, colour distortion, grey, blur. As torchvision's
transforms of the same names, but on a batch at once and on its device, the distortions always in
the same order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# A row of numbers says how a view is made; its columns are these.
_LEFT, _TOP, _WIDTH, _HEIGHT, _FLIP = range(5)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _GREY, _SIGMA = range(5, 11)
_COLUMNS = 11

_RATIO = (3 / 4, 4 / 3)  # of its width to its height
_SIGMAS = (0.1, 2.0)  # of the blur, in pixels
_GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R 601


@dataclass(frozen=True)
class Augmentation:
    """How views of images are drawn.

    Attributes:
        crop: the smallest share of an image's area that a view keeps.
        strength: s of the colour distortion, which four of five views have; 0 leaves colours.
        grey: the share of the views that are made grey.
        blur: the share of the views that are blurred.
    """

    crop: float = 0.08
    strength: float = 0.5
    grey: float = 0.2
    blur: float = 0.5

    def __post_init__(self) -> None:
        for name in ("grey", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a share from 0 to 1, got {getattr(self, name)}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must be a share above 0 and at most 1, got {self.crop}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be from 0 to 1, got {self.strength}")


def draw_views(count: int, rng: np.random.Generator, how: Augmentation) -> Tensor:
    """How each of so many views is made, (count, 11) float32: see the columns above."""
    rows = np.zeros((count, _COLUMNS), np.float32)
    area = rng.uniform(how.crop, 1, count)
    ratio = np.exp(rng.uniform(math.log(_RATIO[0]), math.log(_RATIO[1]), count))
    width = np.minimum(np.sqrt(area * ratio), 1)
    height = np.minimum(np.sqrt(area / ratio), 1)
    rows[:, _WIDTH], rows[:, _HEIGHT] = width, height
    rows[:, _LEFT] = rng.uniform(0, 1, count) * (1 - width)
    rows[:, _TOP] = rng.uniform(0, 1, count) * (1 - height)
    rows[:, _FLIP] = rng.random(count) < 0.5
    changed = rng.random(count) < 0.8
    for column, most in ((_BRIGHTNESS, 0.8), (_CONTRAST, 0.8), (_SATURATION, 0.8), (_HUE, 0.2)):
        change = rng.uniform(-most * how.strength, most * how.strength, count)
        neutral = 0.0 if column == _HUE else 1.0
        rows[:, column] = np.where(changed, neutral + change, neutral)
    rows[:, _GREY] = rng.random(count) < how.grey
    soft = rng.random(count) < how.blur
    rows[:, _SIGMA] = np.where(soft, rng.uniform(*_SIGMAS, count), 0)
    return torch.from_numpy(rows)


def augmented(images: Tensor, how: Tensor) -> Tensor:
    """Views (B, 3, H, W) uint8 of images (B, 3, H, W) uint8, made as rows (B, 11) say."""
    x = cropped(images.float() / 255, how)
    x = distorted(x, how)
    x = blurred(x, how[:, _SIGMA])
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def cropped(x: Tensor, how: Tensor) -> Tensor:
    """Crops of (B, 3, H, W), resized to its size by bilinear interpolation, some flipped."""
    width, height = how[:, _WIDTH], how[:, _HEIGHT]
    sign = 1 - 2 * how[:, _FLIP]
    nothing = torch.zeros_like(width)
    across = torch.stack([width * sign, nothing, 2 * how[:, _LEFT] + width - 1], 1)
    down = torch.stack([nothing, height, 2 * how[:, _TOP] + height - 1], 1)
    grid = functional.affine_grid(torch.stack([across, down], 1), list(x.shape), False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def distorted(x: Tensor, how: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue of (B, 3, H, W) in 0..1 changed, some made grey."""
    columns = how[:, :, None, None, None]
    x = (x * columns[:, _BRIGHTNESS]).clamp(0, 1)
    x = _blend(x, grey(x).mean((2, 3), keepdim=True), columns[:, _CONTRAST])
    x = _blend(x, grey(x), columns[:, _SATURATION])
    x = with_hue_turned(x, how[:, _HUE])
    return torch.where(columns[:, _GREY] > 0, grey(x), x)


def grey(x: Tensor) -> Tensor:
    """The luma (B, 1, H, W) of (B, 3, H, W)."""
    parts = [weight * x[:, channel] for channel, weight in enumerate(_GREY_WEIGHTS)]
    return torch.stack(parts, 1).sum(1, keepdim=True)


def _blend(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return (share * x + (1 - share) * other).clamp(0, 1)


def with_hue_turned(x: Tensor, turn: Tensor) -> Tensor:
    """Colours (B, 3, H, W) in 0..1 whose hue is turned by a share (B,) of the whole circle.

    By way of hue, saturation and value: f(n) = v - v s max(0, min(k, 4 - k, 1)), with
    k = (n + 6 h) mod 6 and n = 5, 3, 1 for red, green and blue.
    """
    value, _ = x.max(1)
    chroma = value - x.min(1).values
    safe = chroma.clamp(min=1e-8)
    red, green, blue = x.unbind(1)
    hue = torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    hue = torch.where(value == red, (green - blue) / safe, hue)  # in sixths of the circle
    hue = hue + 6 * turn[:, None, None]
    colours = []
    for place in (5, 3, 1):
        k = (place + hue) % 6
        colours.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(colours, 1)


def blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """(B, 3, H, W) blurred by Gaussians of (B,) pixels, a tenth of the image wide; 0 for none."""
    reach = max(1, x.shape[-1] // 20)
    offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-(offsets**2) / (2 * sigma.clamp(min=1e-3)[:, None] ** 2))
    weights = weights / weights.sum(1, keepdim=True)  # (B, 2 reach + 1)
    batch, channels, height, width = x.shape
    each = weights.repeat_interleave(channels, 0)[:, None]  # one kernel a channel of an image
    planes = x.reshape(1, batch * channels, height, width)
    planes = functional.pad(planes, (reach, reach, reach, reach), mode="reflect")
    planes = functional.conv2d(planes, each[:, :, None, :], groups=batch * channels)
    planes = functional.conv2d(planes, each[:, :, :, None], groups=batch * channels)
    return planes.view_as(x)
