"""Causal language modelling: each word of a text is guessed by those before it.

Source: Bengio et al., A Neural Probabilistic Language Model, JMLR 2003, eq. 1; Radford et al.,
Improving Language Understanding by Generative Pre-Training, 2018, eq. 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmbench.data.sample import Sample
from mmbench.model import Batch, TaskModel
from mmbench.published_checkpoint import identified
from mmbench.recipe import Recipe, digest
from mmbench.training.objectives.base import encoder_facts, encoders_of
from mmbench.training.objectives.content import all_of
from mmbench.training.objectives.texts import (
    NOTHING,
    IntArray,
    Unigram,
    WordObjective,
    numbers_of,
    read,
    text_encoder_of,
    word_head,
)
from mmbench.versions import part_version
from mmbench.zoo.decoders.text import TextDecoder


class CLM(WordObjective):
    """L = -1/N sum_t log p(x_t | x_1, ..., x_{t-1}), from a text's second word to its end.

    A word is guessed from the encoder's token of the one before it, by a head of its own that is
    thrown away after the stage. Of a model that writes texts and has no encoder of them, it is the
    decoder that guesses, the first word too, and sees no medium: all of it is trained but what
    joins media to it.
    """

    reaches: tuple[str, ...] = ("encoders.text",)

    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        decoder = _writer_of(model)
        if decoder is None:
            encoder = text_encoder_of(model, "clm", causal=True)
            self._end = numbers_of(encoder)
            self.head = word_head(encoder.dim, self._end + 1)
        else:
            self._end = decoder.end
            parts = dict.fromkeys(name.split(".")[0] for name, _ in decoder.named_parameters())
            self.reaches = tuple(f"decoder.{part}" for part in parts if part not in decoder.joins)
        self.unigram = Unigram(self._end + 1)

    def prepare(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        """Count the words, for a unigram model's perplexity."""
        numbers, there = _read(model, all_of(samples, "text"))
        asked = there.copy()
        asked[:, 0] = False
        self.unigram.count([numbers[asked], np.full(len(numbers), self._end)])

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """Returns: of every distinct text `text` and `text_mask` (B, L), and the word after each,
        `target` (B, L). It draws nothing.
        """
        numbers, there = _read(model, all_of(samples, "text"))
        following = np.full(numbers.shape, NOTHING)
        following[:, :-1] = np.where(there[:, 1:], numbers[:, 1:], NOTHING)
        np.put_along_axis(following, there.sum(1, keepdims=True) - 1, self._end, 1)
        batch = {"text": numbers, "text_mask": there, "target": following}
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def logits(self, model: TaskModel, batch: Batch) -> Tensor:
        """Of the word after each, (B, L, words and the end)."""
        decoder = _writer_of(model)
        if decoder is not None:
            nothing = [None] * len(encoders_of(model))
            return decoder(batch["text"], nothing).logits
        stream = text_encoder_of(model, "clm")(batch["text"], batch["text_mask"])
        logits: Tensor = self.head(stream.clean())
        return logits

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any]:
        """It reads the text encoder alone, or the decoder."""
        decoder, part = _writer_of(model), recipe.decoder
        if decoder is None or part is None:
            return encoder_facts(model, recipe, "text")
        options = identified("decoders", part).items()
        words = getattr(getattr(model, "vocabulary", None), "words", None)
        return {
            "decoder": part.name,
            "options": {key: value for key, value in options if key not in decoder.joining},
            "version": part_version("decoders", part.name),
            "fusion": recipe.fusion and recipe.fusion.model_dump(),
            "width": recipe.width,
            "words": digest(words),
        }


def _writer_of(model: TaskModel) -> TextDecoder | None:
    """The model's text decoder, of one without an encoder of texts."""
    decoder = dict(model.named_children()).get("decoder")
    writes = isinstance(decoder, TextDecoder) and "text" not in encoders_of(model)
    return decoder if writes else None  # type: ignore[return-value]


def _read(model: TaskModel, texts: Sequence[Any]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Numbers (B, L) of texts, and which of them are there; a decoder's begin with the end."""
    decoder = _writer_of(model)
    if decoder is None:
        return read(text_encoder_of(model, "clm"), texts)
    texts = [str(text) for text in texts]
    longest = max(map(len, texts)) if decoder.most_words is None else decoder.most_words - 1
    numbers, there = decoder.read(texts, longest)
    rows = len(texts)
    numbers = torch.cat([numbers.new_full((rows, 1), decoder.end), numbers], 1)
    there = torch.cat([there.new_ones(rows, 1), there], 1)
    return numbers.numpy(), there.numpy()
