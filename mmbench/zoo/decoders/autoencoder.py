"""An autoencoder of images: patches <-> a small grid of latent vectors, which may be quantised.

Source: van den Oord et al., Neural Discrete Representation Learning (VQ-VAE), 2017
(arXiv 1711.00937), with moving averages for the codebook (its appendix A.1) and several codes a
position, each of what the ones before leave over: Lee et al., Autoregressive Image Generation using
Residual Quantization, 2022 (arXiv 2203.01941), sec. 3.1. Unused codes are drawn anew from the data:
Dhariwal et al., Jukebox, 2020 (arXiv 2005.00341), sec. 3.1; here from what is far from any code, as
k-means++ does (Arthur and Vassilvitskii 2007).
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mmbench.yaml_file import Settings
from mmbench.zoo.precision import in_float32

_DECAY = 0.95  # of the moving averages of the codebook
_UNUSED = 0.05  # of an even share of the patches: a code that gets less is drawn anew
_COMMITMENT = 0.25  # weight of the distance between latents and their codes
_NOISE = 0.05  # added to latents that are not quantised, in training
_SHADE = 8  # levels of a colour that count as one in an image's ground
GROUND = (3, 256 // _SHADE)  # codes that stand for an image's ground, and entries of each


class AutoencoderSettings(Settings):
    """An autoencoder's sizes, and how it is trained.

    Attributes:
        grid: positions a side; a patch is size / grid pixels a side.
        width: of its layers.
        latent: numbers a position.
        codes: how many codes stand for a position, each of the rest that the ones before leave.
        codebook: entries of each codebook.
        epochs, batch, lr: of its training, before the rest of the model is trained.
    """

    grid: int = Field(8, ge=1)
    width: int = Field(64, ge=1)
    latent: int = Field(16, ge=1)
    codes: int = Field(1, ge=1)
    codebook: int = Field(512, ge=2)
    epochs: int = Field(4, ge=1)
    batch: int = Field(128, ge=1)
    lr: float = Field(2e-3, gt=0)


class PatchLayer(nn.Module):
    """A 3x3 convolution over the grid, then a feed-forward layer; both residual, pre-norm.

    Args:
        dim: width D.
        grid: positions a side, G.
    Shape: (B, G*G, D) -> (B, G*G, D).
    """

    def __init__(self, dim: int, grid: int) -> None:
        super().__init__()
        self._grid = grid
        self.norm = nn.LayerNorm(dim)
        self.near = nn.Conv2d(dim, dim, 3, padding=1)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, P, D) -> (B, P, D)."""
        plane = self.norm(x).transpose(1, 2).unflatten(2, (self._grid, self._grid))
        x = x + self.near(plane).flatten(2).transpose(1, 2)
        return x + self.feed_forward(x)


class Quantiser(nn.Module):
    """Residual vector quantisation: a latent as the sum of an entry of each of several codebooks.

    Args:
        codes: codebooks, C.
        entries: of each, K.
        latent: L, numbers an entry.
    """

    books: Tensor
    counts: Tensor
    started: Tensor

    def __init__(self, codes: int, entries: int, latent: int) -> None:
        super().__init__()
        self.register_buffer("books", torch.zeros(codes, entries, latent))
        self.register_buffer("counts", torch.ones(codes, entries))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self._known_started = False  # read from the device until it is so

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and commitment loss of latents.

        Args:
            latents: (M, L). In training mode they move the codebooks.
        Returns: codes (M, C) int64, and the mean squared distance that the encoder is to shorten.
            In float32, since near codes would be one in bfloat16.
        """
        with in_float32(latents.device):
            return self._coded(latents.float())

    def _coded(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        rest = latents.detach()
        near = torch.zeros_like(rest)
        distance = latents.new_zeros(())
        found = []
        begins = self.training and not self._has_started()
        for number, book in enumerate(self.books):
            if begins:
                far = (rest - rest.mean(0)).square().sum(1)
                book.copy_(self._drawn(rest, far, len(book)))
            codes = (book.square().sum(1) - 2 * rest @ book.T).argmin(1)
            step = book[codes]
            if self.training:
                self._move(number, rest, codes, (rest - step).square().sum(1))
            near, rest = near + step, rest - step
            distance = distance + functional.mse_loss(latents, near)
            found.append(codes)
        if begins:
            self.started.fill_(True)
            self._known_started = True
        return torch.stack(found, 1), distance / len(found)

    def _has_started(self) -> bool:
        """Whether the codebooks stand for something; once they do, no device is asked again."""
        self._known_started = self._known_started or bool(self.started)
        return self._known_started

    def lookup(self, codes: Tensor) -> Tensor:
        """The latents (..., L) that codes (..., C) stand for."""
        parts = [book[codes[..., number]] for number, book in enumerate(self.books)]
        return torch.stack(parts).sum(0)

    def _move(self, number: int, rest: Tensor, codes: Tensor, far: Tensor) -> None:
        """Move the entries of a codebook towards the mean of what they stand for.

        Args:
            number: of the codebook.
            rest: (M, L), what it is to stand for.
            codes: (M,), the nearest entries.
            far: (M,), the squared distances to them.
        """
        book, counts = self.books[number], self.counts[number]
        share = len(rest) / len(book)
        ones = counts.new_ones(len(codes))
        found = torch.zeros_like(counts).index_add_(0, codes, ones)  # bincount would wait
        total = torch.zeros_like(book).index_add_(0, codes, rest)
        new_counts = _DECAY * counts + (1 - _DECAY) * found
        moved = (_DECAY * counts[:, None] * book + (1 - _DECAY) * total) / new_counts[:, None]
        unused = new_counts < _UNUSED * share
        drawn = self._drawn(rest, far, len(book))
        book.copy_(torch.where(unused[:, None], drawn, moved))
        counts.copy_(torch.where(unused, share / 2, new_counts))

    @staticmethod
    def _drawn(rest: Tensor, far: Tensor, count: int) -> Tensor:
        """Some of the rest (M, L), the likelier the farther (M,) it is from any code."""
        return rest[torch.multinomial(far + 1e-12, count, replacement=True)]


class Autoencoder(nn.Module):
    """Images -> a grid of latent vectors -> images.

    Quantised, an image is its ground (the median of each colour, in steps of 8 levels) and codes of
    how each patch differs from it by more than such a step. So a plain background is one code,
    whatever its shade and noise, and the others are left for what stands before it.

    Args:
        size: pixels a side, S.
        settings: its sizes.
        quantised: whether latents are codes. If not, they are bounded, and noise is added to them
            in training so that near latents mean near images.
    Attributes:
        version: raised when it comes to compute otherwise; decoders of all kinds share it.
        identity: what else decides how it computes, as plain JSON.
    Raises: ValueError if the grid does not divide the size.
    """

    version = 1

    def __init__(self, size: int, settings: AutoencoderSettings, quantised: bool) -> None:
        super().__init__()
        grid, width = settings.grid, settings.width
        if size % grid:
            raise ValueError(f"autoencoder.grid must divide the image size {size}, got {grid}")
        self._grid, self._patch = grid, size // grid
        pixels = 3 * self._patch**2
        self.encoder = nn.Sequential(  # patch by patch, so that like patches have like codes
            nn.Linear(pixels, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, settings.latent),
        )
        self.quantiser = (
            Quantiser(settings.codes, settings.codebook, settings.latent) if quantised else None
        )
        self.identity = {"size": size, "quantised": quantised, **settings.model_dump()}
        self.decoder = nn.Sequential(
            nn.Linear(settings.latent, width),
            PatchLayer(width, grid),
            PatchLayer(width, grid),
            nn.LayerNorm(width),
            nn.Linear(width, pixels),
        )

    def encode(self, pixels: Tensor) -> Tensor:
        """What stands for images (B, 3, S, S) uint8.

        Returns: codes (B, 3 + G*G*C) int64, three for the ground first (see `GROUND`); or latents
            (B, G*G, L) where they are not quantised.
        """
        if self.quantiser is None:
            return self._latents(_centred(pixels))
        ground = _ground(pixels)
        latents = self._latents(_differing(_centred(pixels) - _shade(ground)))
        codes, _ = self.quantiser(latents.flatten(0, 1))
        return torch.cat([ground, codes.view(len(pixels), -1)], 1)

    def decode(self, found: Tensor) -> Tensor:
        """Images (B, 3, S, S) uint8 from what `encode` gives."""
        if self.quantiser is None:
            images = self._images(found)
        else:
            ground, codes = found.tensor_split([GROUND[0]], 1)
            patches = codes.unflatten(1, (self._grid**2, -1))
            images = self._images(self.quantiser.lookup(patches)) + _shade(ground)
        return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    def loss(self, pixels: Tensor) -> Tensor:
        """Mean squared error of the images, on a scale of -1 to 1, and the commitment."""
        target = _centred(pixels)
        if self.quantiser is None:
            latents = self._latents(target)
            latents = latents + _NOISE * torch.randn_like(latents) if self.training else latents
            return functional.mse_loss(self._images(latents), target)
        target = target - _shade(_ground(pixels))
        latents = self._latents(_differing(target))
        codes, commitment = self.quantiser(latents.flatten(0, 1))
        near = self.quantiser.lookup(codes).view_as(latents)
        latents = latents + (near - latents).detach()  # the gradient passes straight through
        return functional.mse_loss(self._images(latents), target) + _COMMITMENT * commitment

    def _latents(self, images: Tensor) -> Tensor:
        """(B, G*G, L) of images (B, 3, S, S)."""
        patches = functional.pixel_unshuffle(images, self._patch)
        latents = self.encoder(patches.flatten(2).transpose(1, 2))
        return latents if self.quantiser is not None else latents.tanh()

    def _images(self, latents: Tensor) -> Tensor:
        """Images (B, 3, S, S) of latents (B, G*G, L)."""
        patches = self.decoder(latents).transpose(1, 2).unflatten(2, (self._grid, self._grid))
        return functional.pixel_shuffle(patches, self._patch)


def _centred(pixels: Tensor) -> Tensor:
    """Pixels uint8 on a scale of -1 to 1."""
    return pixels.float() / 127.5 - 1


def _ground(pixels: Tensor) -> Tensor:
    """The median of each colour (B, 3), in steps of `_SHADE`, of images (B, 3, S, S) uint8."""
    ordered = pixels.flatten(2).sort(2).values  # torch's median is not repeatable on a GPU
    return ordered[..., (ordered.shape[2] - 1) // 2].long() // _SHADE


def _shade(ground: Tensor) -> Tensor:
    """The middle of each step (B, 3, 1, 1), on a scale of -1 to 1."""
    return ((ground * _SHADE + _SHADE / 2) / 127.5 - 1)[..., None, None]


def _differing(images: Tensor) -> Tensor:
    """Images without what differs from zero by less than a step of the ground."""
    return functional.softshrink(images, _SHADE / 127.5)
