"""Masked language modelling: hidden words of a text are guessed by all others.

Source: Devlin et al., BERT, 2019 (arXiv 1810.04805), sec. 3.1, task 1, and appendix A.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Batch, TaskModel
from mmbench.recipe import Recipe
from mmbench.training.objectives.base import encoder_facts
from mmbench.training.objectives.content import all_of
from mmbench.training.objectives.texts import (
    NOTHING,
    IntArray,
    Unigram,
    WordObjective,
    numbers_of,
    read,
    rows_of,
    text_encoder_of,
    word_head,
)

_HIDDEN, _REPLACED = 0.8, 0.1  # shares of the chosen words; the others stay as they are


class MLM(WordObjective):
    """L = -1/|M| sum_{i in M} log p(x_i | x with M hidden), M being 15% of a text's words.

    Of the chosen words 80% are hidden, 10% become another word, 10% stay. A word is guessed from
    the encoder's token in its place, by a head of its own that is thrown away after the stage.

    Args:
        share: of a text's words that are chosen; one at least.
    """

    reaches = ("encoders.text",)
    added_with = {"share": 0.15}

    def __init__(self, model: TaskModel, share: float = 0.15) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise ValueError(f"share must be between 0 and 1, got {share}")
        encoder = text_encoder_of(model, "mlm", causal=False)
        if encoder.blank is None:
            raise MMBenchError(
                "mlm hides words, and the text encoder's tokenizer has no mask: choose a "
                "checkpoint that has one, such as BERT's, or the objective clm"
            )
        self._share = share
        classes = numbers_of(encoder)
        self.head = word_head(encoder.dim, classes)
        self.unigram = Unigram(classes)

    def prepare(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        """Count the words, for a unigram model's perplexity."""
        self.unigram.count(rows_of(text_encoder_of(model, "mlm"), samples))

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """Returns: of every distinct text `text` (B, L) with words hidden and `text_mask`, the
        places of the chosen words (B, M) and which words these are, `target` (B, M).
        """
        encoder = text_encoder_of(model, "mlm")
        numbers, there = read(encoder, all_of(samples, "text"))
        words = np.asarray(encoder.word_numbers)
        assert encoder.blank is not None  # as it was made for
        shown, places, target = hidden(
            numbers, there & np.isin(numbers, words), words, encoder.blank, self._share, rng
        )
        batch = {"text": shown, "text_mask": there, "places": places, "target": target}
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def logits(self, model: TaskModel, batch: Batch) -> Tensor:
        """Of the chosen words, (B, M, words)."""
        stream = text_encoder_of(model, "mlm")(batch["text"], batch["text_mask"])
        places = batch["places"][..., None].expand(-1, -1, stream.tokens.shape[-1])
        logits: Tensor = self.head(stream.clean().gather(1, places))
        return logits

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any]:
        """It reads the text encoder alone."""
        return encoder_facts(model, recipe, "text")


def hidden(
    numbers: IntArray,
    may: np.ndarray,
    words: IntArray,
    blank: int,
    share: float,
    rng: np.random.Generator,
) -> tuple[IntArray, IntArray, IntArray]:
    """Texts with some of their words hidden, as BERT does.

    Args:
        numbers: (B, L).
        may: (B, L) bool, what may be chosen.
        words: all numbers of words.
        blank: the number of a hidden word.
        share: of what may be chosen, rounded; one at least where there is one.
        rng: draws which, and what they become.
    Returns: the texts (B, L), the chosen places (B, M), and what stood there (B, M), NOTHING where
        a text has fewer than M.
    """
    counts = np.maximum(np.round(share * may.sum(1)), 1).astype(np.int64).clip(max=may.sum(1))
    order = np.argsort(np.where(may, rng.random(numbers.shape), 2.0), axis=1)
    places = order[:, : max(1, counts.max())]
    asked = np.arange(places.shape[1]) < counts[:, None]
    target = np.where(asked, np.take_along_axis(numbers, places, 1), NOTHING)
    draw = rng.random(places.shape)
    other = words[rng.integers(len(words), size=places.shape)]
    kept = np.take_along_axis(numbers, places, 1)
    become = np.where(draw < _HIDDEN, blank, np.where(draw < _HIDDEN + _REPLACED, other, kept))
    shown = numbers.copy()
    np.put_along_axis(shown, places, np.where(asked, become, kept), 1)
    return shown, places, target
