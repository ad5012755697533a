"""Causal language modelling: each word of a text is guessed by those before it.

Source: Bengio et al., A Neural Probabilistic Language Model, JMLR 2003, eq. 1; Radford et al.,
Improving Language Understanding by Generative Pre-Training, 2018, eq. 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.data.sample import Sample
from mmbench.model import Batch, Losses, TaskModel
from mmbench.recipe import Recipe
from mmbench.training.objectives.base import Mean, Objective, encoder_facts
from mmbench.training.objectives.content import all_of
from mmbench.training.objectives.texts import (
    NOTHING,
    Unigram,
    asked_loss,
    numbers_of,
    perplexity,
    read,
    rows_of,
    text_encoder_of,
    word_head,
)


class CLM(Objective):
    """L = -1/N sum_t log p(x_t | x_1, ..., x_{t-1}), from a text's second word to its end.

    A word is guessed from the encoder's token of the one before it, by a head of its own that is
    thrown away after the stage.
    """

    reaches = ("encoders.text",)

    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        encoder = text_encoder_of(model, "clm", causal=True)
        self._end = numbers_of(encoder)
        self.head = word_head(encoder.dim, self._end + 1)
        self.unigram = Unigram(self._end + 1)

    def check(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        all_of(samples, "text")

    def prepare(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        """Count the words, for a unigram model's perplexity."""
        rows = rows_of(text_encoder_of(model, "clm"), samples)
        self.unigram.count([*(row[1:] for row in rows), np.full(len(rows), self._end)])

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """Returns: of every distinct text `text` and `text_mask` (B, L), and the word after each,
        `target` (B, L). It draws nothing.
        """
        numbers, there = read(text_encoder_of(model, "clm"), all_of(samples, "text"))
        following = np.full(numbers.shape, NOTHING)
        following[:, :-1] = np.where(there[:, 1:], numbers[:, 1:], NOTHING)
        np.put_along_axis(following, there.sum(1, keepdims=True) - 1, self._end, 1)
        batch = {"text": numbers, "text_mask": there, "target": following}
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def logits(self, model: TaskModel, batch: Batch) -> Tensor:
        """Of the word after each, (B, L, words and the end)."""
        stream = text_encoder_of(model, "clm")(batch["text"], batch["text_mask"])
        logits: Tensor = self.head(stream.clean())
        return logits

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """Cross-entropy of each next word, the end included."""
        return {"words": asked_loss(self.logits(model, batch), batch["target"])}

    def measured(self, model: TaskModel, batch: Batch) -> Mapping[str, Mean]:
        """Its perplexity, and that of a unigram model on the same words."""
        loss = asked_loss(self.logits(model, batch), batch["target"])
        return {
            "perplexity": perplexity(loss, batch["target"]),
            "unigram_perplexity": self.unigram.measured(batch["target"]),
        }

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any]:
        """It reads the text encoder alone."""
        return encoder_facts(model, recipe, "text")
