"""What objectives on texts share: the encoder whose words they know, its head, and their loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses, TaskModel
from mmbench.training.objectives.base import Mean, Objective, encoder_of
from mmbench.training.objectives.content import all_of
from mmbench.zoo.encoders.base import TextEncoder
from mmbench.zoo.precision import in_float32

NOTHING = -100  # a target where nothing is asked: no loss
IntArray = npt.NDArray[np.int64]


def text_encoder_of(model: TaskModel, objective: str, causal: bool | None = None) -> TextEncoder:
    """The model's encoder of texts.

    Args:
        objective: the name of what needs it, for an error.
        causal: whether its tokens must see those before them alone (True), or all (False).
    Raises: MMBenchError if there is none, its words are not known, or it reads the other way.
    """
    encoder = encoder_of(model, "text", objective)
    name = type(encoder).__name__
    if not isinstance(encoder, TextEncoder):
        raise MMBenchError(
            f"{objective} needs an encoder of texts whose words it knows, which {name} is not: "
            "choose another one, such as bert"
        )
    if causal is False and encoder.causal is not False:
        raise MMBenchError(
            f"{objective} hides words and asks for them by all others, which {name} does not see: "
            "choose an encoder that reads in both directions, such as bert"
            + (", or the objective clm" if encoder.causal else "")
        )
    if causal and not encoder.causal:
        raise MMBenchError(
            f"{objective} asks for the next word, which {name} "
            f"{'has seen' if encoder.causal is False else 'cannot tell by one word'}: choose an "
            "encoder that reads from left to right, such as gru or gpt2, or the objective mlm"
        )
    return encoder


def numbers_of(encoder: TextEncoder) -> int:
    """How many numbers of words there are, counted from 0."""
    return max(encoder.word_numbers) + 1


def word_head(width: int, classes: int) -> nn.Module:
    """BERT's head: a layer with GELU and a norm, then a logit for each word."""
    return nn.Sequential(
        nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, classes)
    )


def asked_loss(logits: Tensor, target: Tensor) -> Tensor:
    """-1/N sum log softmax(logits)[target] over the targets that are asked, in float32 or float64.

    Args:
        logits: (..., C).
        target: (...) int64, NOTHING where none is asked.
    """
    with in_float32(logits.device):
        z = logits if logits.dtype == torch.float64 else logits.float()
        total = functional.cross_entropy(
            z.flatten(0, -2), target.flatten(), ignore_index=NOTHING, reduction="sum"
        )
        return total / (target != NOTHING).sum().clamp(min=1)


class Unigram(nn.Module):
    """How likely words are without their neighbours, counted with one more of each.

    Args:
        classes: how many there are.
    """

    log_chance: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("log_chance", torch.zeros(classes))

    def count(self, rows: Sequence[IntArray]) -> None:
        """Count words, given by their numbers."""
        classes = len(self.log_chance)
        counts = 1 + np.bincount(np.concatenate(rows), minlength=classes)
        self.log_chance.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    def measured(self, target: Tensor) -> Mean:
        """Its perplexity of the targets that are asked."""
        asked = target != NOTHING
        chance = self.log_chance[target.clamp(min=0)]
        return Mean(-(chance * asked).sum(), asked.sum(), perplexity=True)


def perplexity(loss: Tensor, target: Tensor) -> Mean:
    """Of the mean loss of the targets that are asked."""
    asked = (target != NOTHING).sum()
    return Mean(loss * asked, asked, perplexity=True)


class WordObjective(Objective):
    """Words of texts are asked for, by the text around them.

    Attributes:
        unigram: that its perplexity is held against.
    """

    unigram: Unigram

    @abstractmethod
    def logits(self, model: TaskModel, batch: Batch) -> Tensor:
        """Of the words that are asked for, (B, N, words); which these are, a batch has as `target`
        (B, N), NOTHING where none is.
        """

    def check(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        all_of(samples, "text")

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """Cross-entropy of the words that are asked for."""
        return {"words": asked_loss(self.logits(model, batch), batch["target"])}

    def measured(self, model: TaskModel, batch: Batch) -> Mapping[str, Mean]:
        """Its perplexity, and that of a unigram model on the same words."""
        loss = asked_loss(self.logits(model, batch), batch["target"])
        return {
            "perplexity": perplexity(loss, batch["target"]),
            "unigram_perplexity": self.unigram.measured(batch["target"]),
        }


def rows_of(encoder: TextEncoder, samples: Sequence[Sample]) -> list[IntArray]:
    """The numbers of each distinct text of samples, as the encoder reads them."""
    numbers, mask = read(encoder, all_of(samples, "text"))
    return [row[there] for row, there in zip(numbers, mask, strict=True)]


def read(encoder: TextEncoder, texts: Sequence[Any]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Numbers (B, L) of texts, and which of them are there."""
    numbers, mask = encoder.read(texts)
    there = np.ones(numbers.shape, np.bool_) if mask is None else mask.numpy()
    return numbers.numpy(), there
