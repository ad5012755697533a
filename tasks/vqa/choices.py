"""VQA with choices of its own at every question: each choice is scored beside the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Batch
from mmbench.recipe import Recipe
from mmbench_tasks.vqa.model import UNKNOWN_ANSWER, VQAModel


class ChoiceModel(VQAModel):
    """The text is the question followed by a choice; the classifier gives that pair one logit.

    Args:
        recipe: resolved; needs an encoder for text.
        words: the vocabulary of questions and choices.
    """

    def __init__(self, recipe: Recipe, words: list[str]) -> None:
        super().__init__(recipe, words, answers=["this"])
        if "text" not in self.encoders:
            raise MMBenchError(
                "choices are texts: a recipe without an encoder for text cannot tell them apart"
            )

    def prepare(self, samples: Sequence[Sample]) -> None:
        """See `TaskModel.prepare`."""
        super().prepare(_pairs(samples))

    def collate(self, samples: Sequence[Sample], targets: bool = True) -> Batch:
        """See `TaskModel.collate`.

        Returns: see `ComposedModel.inputs`, of the P pairs of a sample and a choice; `pair` (B, C)
            int64, the place of each choice among the pairs, -1 where a sample has fewer; and
            `target` (B,) int64, the right choice.
        """
        places = []
        count = 0
        for sample in samples:
            places.append(torch.arange(count, count + len(sample.inputs["choices"])))
            count += len(sample.inputs["choices"])
        batch = self.inputs(_pairs(samples))
        batch["pair"] = torch.nn.utils.rnn.pad_sequence(places, True, padding_value=-1)
        if targets:
            right = [_place(sample) for sample in samples]
            batch["target"] = torch.tensor(right)
        return batch

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, C), minus infinity where a sample has no such choice."""
        scores = super().forward(batch)[:, 0]  # (P,)
        pair = batch["pair"]
        return scores[pair.clamp(min=0)].masked_fill(pair < 0, float("-inf"))

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy of the right choice; smoothing goes to the choices that a sample has."""
        logits, target = self(batch), batch["target"]
        loss = functional.cross_entropy(logits, target, ignore_index=UNKNOWN_ANSWER)
        if not label_smoothing:
            return loss
        there = batch["pair"] >= 0
        even = -logits.log_softmax(-1).masked_fill(~there, 0).sum(-1) / there.sum(-1)
        return (1 - label_smoothing) * loss + label_smoothing * even.mean()

    def answer(self, batch: Batch) -> list[Any]:
        """The place of the likeliest choice; `conclude` makes it the choice."""
        return self(batch).argmax(-1).tolist()

    def conclude(self, samples: Sequence[Sample], answers: list[Any]) -> list[Any]:
        """The chosen texts."""
        chosen = zip(samples, answers, strict=True)
        return [sample.inputs["choices"][answer] for sample, answer in chosen]


def _pairs(samples: Sequence[Sample]) -> list[Sample]:
    """A sample for each choice of each sample, whose text is the question and that choice."""
    return [
        replace(sample, inputs={**sample.inputs, "text": f"{sample.inputs['text']} {choice}"})
        for sample in samples
        for choice in sample.inputs["choices"]
    ]


def _place(sample: Sample) -> int:
    choices = sample.inputs["choices"]
    return choices.index(sample.target) if sample.target in choices else UNKNOWN_ANSWER
