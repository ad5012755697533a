"""What the encoders made of transformers' networks share, by what they read.

Each encoder names a class of transformers. Without `pretrained` its network begins from nothing, of
the sizes that a recipe gives; with it, from a checkpoint, and then inputs are prepared as the
checkpoint says: its tokenizer, the size of its images, their normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmbench.zoo.encoders.base import TextEncoder, joined_rows, mask_of
from mmbench.zoo.encoders.pretrained import PretrainedEncoder
from mmbench.zoo.transformers_network import Start, make_network, own_sizes_only, read_preparation
from mmbench.zoo.words import UNKNOWN, Words, padded

_HALF = (0.5, 0.5, 0.5)  # mean and deviation of pixels between 0 and 1, of a network from nothing


def patch_of(size: int, patch: int) -> int:
    """The size of a patch.

    Raises: ValueError where patches do not fill an image.
    """
    if patch < 1 or size < patch or size % patch:
        raise ValueError(f"patch must divide the size {size} of an image, got {patch}")
    return patch


class HuggingFaceEncoder(PretrainedEncoder):
    """A network of transformers, normalised and projected to the width.

    Args:
        dim: width D of the tokens.
        network: its class.
        configuration: makes its configuration, of these sizes.
        start: what it begins from, and what is trained.
        sizes: the options that are of a network from nothing alone; with `pretrained` the
            checkpoint has its own.
        options: of the network's constructor.
        changes: to a checkpoint's configuration.

    Attributes:
        architectures: the `model_type` of checkpoints that it can begin from. It stands in the
            class's own body, where it is read without importing anything.
        checkpoint: that it begins from; None from nothing.
    """

    architectures: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        dim: int,
        network: Any,
        configuration: Callable[[], Any],
        start: Start,
        sizes: Mapping[str, Any],
        options: Mapping[str, Any] | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        own_sizes_only(type(self), start, sizes)
        made = make_network(network, configuration, start, self.architectures, options, changes)
        self.checkpoint = made.checkpoint
        settings = {"checkpoint": self.checkpoint.sha256} if self.checkpoint else {}
        self.config: Any = made.module.config
        frozen = made.trained is not None and not made.trained
        features = self.width_of(made.module.config)
        super().__init__(dim, made.module, features, frozen, settings, made.trained)

    def width_of(self, config: Any) -> int:
        """F, how many features a token of the network has."""
        return int(config.hidden_size)

    def whole(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, F) that are all there, and the mask that says so."""
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


class HuggingFaceVision(HuggingFaceEncoder):
    """Images, or the frames of videos, at the size and with the normalisation that it wants.

    `read` gives them at that size; what has another one all the same, since somebody else read it,
    is resized here.

    Args:
        size: pixels a side of a network from nothing; None reads any size.
        others: see `HuggingFaceEncoder`.
    """

    at_once = 4
    mean: Tensor
    deviation: Tensor

    def __init__(self, *others: Any, size: int | None, **options: Any) -> None:
        super().__init__(*others, **options)
        mean, deviation, unit = _HALF, _HALF, 1 / 255
        self._size: tuple[int, ...] | None = None if size is None else (size, size)
        self._processor: Any = None
        if self.checkpoint is not None:
            self._processor = read_preparation(self.checkpoint, "image processor")
            self._size = tuple(self._prepared(np.zeros((1, 64, 64, 3), np.uint8)).shape[-2:])
            self._check_size(self._size, getattr(self.config, "image_size", None))
            if self._processor.do_normalize:
                mean, deviation = self._processor.image_mean, self._processor.image_std
            else:
                mean, deviation = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
            unit = self._processor.rescale_factor if self._processor.do_rescale else 1.0
        for name, value in (("mean", mean), ("deviation", deviation)):
            rows = torch.tensor(value, dtype=torch.float32)[:, None, None]
            self.register_buffer(name, rows, persistent=False)
        self._unit = unit

    def read(self, values: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        """Media (B, ..., 3, H, W) uint8, at the size that a checkpoint's processor gives them."""
        if self._processor is None:
            return super().read(values)
        return torch.stack([self._prepared(value.array()) for value in values]), None

    def _prepared(self, frames: Any) -> Tensor:
        """An image (H, W, 3) as (3, H', W') uint8, or frames (T, H, W, 3) as (T, 3, H', W')."""
        one = frames.ndim == 3
        found = self._processor(
            images=[frames] if one else list(frames),
            return_tensors="pt",
            do_rescale=False,
            do_normalize=False,
            input_data_format="channels_last",
        )["pixel_values"]
        found = found.flatten(0, -4)  # a processor of videos gives a batch of one
        return found[0] if one else found

    def _check_size(self, given: tuple[int, ...], wanted: Any) -> None:
        """Raise where a checkpoint's files do not fit each other."""
        sides = (wanted, wanted) if isinstance(wanted, int) else tuple(wanted or given)
        if given != sides:
            raise ValueError(
                f"the image processor of {self.checkpoint} gives images of {given} pixels, and its "
                f"network reads {sides}"
            )

    def pixels(self, x: Tensor) -> Tensor:
        """Media (B, ..., 3, H, W) as the network reads them: float32, normalised."""
        found = x.flatten(0, -4).float()
        if self._size is not None and x.shape[-2:] != self._size:
            found = functional.interpolate(found, self._size, mode="bicubic", antialias=True)
            found = found.clamp(0, 255)
        found = (found * self._unit - self.mean) / self.deviation
        return found.view(*x.shape[:-2], *found.shape[-2:])


class HuggingFaceText(HuggingFaceEncoder, TextEncoder):
    """Texts, as a checkpoint's tokenizer reads them, or as words of the task's vocabulary.

    What is longer than the network reads is cut.

    Args:
        vocabulary: of the task; None where the network begins from a checkpoint.
        others: see `HuggingFaceEncoder`.
    """

    modality = "text"
    at_once = 32

    def __init__(self, *others: Any, vocabulary: Words, **options: Any) -> None:
        super().__init__(*others, **options)
        self.config.use_cache = False  # of keys and values, which only who writes needs
        self._vocabulary = vocabulary
        self._longest = int(self.config.max_position_embeddings)
        self._tokenizer: Any = None
        if self.checkpoint is not None:
            self._tokenizer = read_preparation(self.checkpoint, "tokenizer")
            self._longest = min(self._longest, self._tokenizer.model_max_length)

    def read(self, values: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        texts = list(map(str, values))
        if self._tokenizer is None:
            return padded([row[: self._longest] for row in self._vocabulary.rows(texts)])
        rows = self._tokenizer(texts, truncation=True, max_length=self._longest)["input_ids"]
        return padded([row or [self._tokenizer.eos_token_id or 0] for row in rows])

    @property
    def word_numbers(self) -> Sequence[int]:
        if self._tokenizer is None:
            return range(UNKNOWN + 1, len(self._vocabulary))
        special = set(self._tokenizer.all_special_ids)
        return [number for number in range(len(self._tokenizer)) if number not in special]

    @property
    def blank(self) -> int | None:
        if self._tokenizer is None:
            return 0
        number: int | None = self._tokenizer.mask_token_id
        return number

    def read_pairs(
        self, first: Sequence[str], second: Sequence[str]
    ) -> tuple[Tensor, Tensor | None]:
        """What is longer than the network reads is cut."""
        if self._tokenizer is None:
            rows = joined_rows(self._vocabulary, first, second)
            return padded([row[: self._longest] for row in rows])
        texts = {"text": list(first), "text_pair": list(second)}
        return padded(
            self._tokenizer(**texts, truncation=True, max_length=self._longest)["input_ids"]
        )

    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        there = mask_of(x, mask)
        seen = (there | ~there.any(1, keepdim=True))[:, None, None]  # (B, 1, 1, L)
        if self.causal:
            length = x.shape[1]
            seen = seen & torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
            seen = seen | torch.eye(length, dtype=torch.bool, device=x.device)
        # Made here, since transformers would look at every mask, and wait for the device.
        hidden = network(input_ids=x, attention_mask=seen.expand(-1, -1, x.shape[1], -1))
        return hidden.last_hidden_state, there
