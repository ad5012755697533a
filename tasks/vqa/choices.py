"""VQA with choices of its own at every question: each choice is scored beside the question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmbench.data.sample import Query, Sample
from mmbench.errors import MMBenchError
from mmbench.model import Batch
from mmbench.recipe import Recipe
from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.stream import Stream
from mmbench_tasks.vqa.model import UNKNOWN_ANSWER, VQAModel


class ChoiceModel(VQAModel):
    """The text is the question followed by a choice; the classifier gives that pair one logit.

    Args:
        recipe: resolved; needs an encoder for text.
        words: the vocabulary of questions and choices.
    """

    def __init__(self, recipe: Recipe, words: list[str]) -> None:
        super().__init__(recipe, words, answers=None)
        if "text" not in self.encoders:
            raise MMBenchError(
                "choices are texts: a recipe without an encoder for text cannot tell them apart"
            )

    def prepare(self, queries: Sequence[Query]) -> None:
        """The texts are of pairs, so that is what features are kept of."""
        super().prepare(_pairs(queries))

    def keep(self, queries: Sequence[Query], modalities: Sequence[str]) -> None:
        super().keep(_pairs(queries), modalities)

    def collate(self, queries: Sequence[Query]) -> Batch:
        """The P pairs of a query and a choice.

        Returns: see `ComposedModel.inputs`; and `pair` (B, C) int64, the place of each choice among
            the pairs, -1 where a query has fewer.
        """
        places = []
        count = 0
        for query in queries:
            places.append(torch.arange(count, count + len(query.inputs["choices"])))
            count += len(query.inputs["choices"])
        pair = torch.nn.utils.rnn.pad_sequence(places, True, padding_value=-1)
        return self.inputs(_pairs(queries)) | {"pair": pair}

    def collate_training(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Returns: see `collate`; and `target` (B,) int64, the right choice. It draws nothing."""
        return self.collate(samples) | {"target": torch.tensor([_place(s) for s in samples])}

    def arranged(self, logits: Tensor, batch: Batch) -> Tensor:
        """Logits (P, 1) by sample and choice (B, C), minus infinity where there is none."""
        pair = batch["pair"]
        return logits[:, 0][pair.clamp(min=0)].masked_fill(pair < 0, float("-inf"))

    def held(self, present: Tensor, batch: Batch) -> Tensor:
        """Those of the samples' first choices: what a sample has, all its pairs have."""
        return present[batch["pair"][:, 0]]

    def contexts_kept(
        self, samples: Sequence[Sample], share: float, rng: np.random.Generator
    ) -> Batch:
        """A sample loses a context with all its pairs."""
        pairs = torch.tensor([len(sample.inputs["choices"]) for sample in samples])
        kept = super().contexts_kept(samples, share, rng)
        return {name: each.repeat_interleave(pairs) for name, each in kept.items()}

    def decoded(self, streams: Mapping[str, Stream], batch: Batch) -> Decoded:
        """Logits (B, C), minus infinity where a sample has no such choice."""
        decoded = super().decoded(streams, batch)
        logits = decoded.logits.masked_fill(batch["pair"] < 0, float("-inf"))
        return replace(decoded, logits=logits)

    def answer_loss(self, logits: Tensor, batch: Batch, label_smoothing: float) -> Tensor:
        """Cross-entropy of the right choice; smoothing goes to the choices that a sample has."""
        loss = functional.cross_entropy(logits, batch["target"], ignore_index=UNKNOWN_ANSWER)
        if not label_smoothing:
            return loss
        there = batch["pair"] >= 0
        even = -logits.log_softmax(-1).masked_fill(~there, 0).sum(-1) / there.sum(-1)
        return (1 - label_smoothing) * loss + label_smoothing * even.mean()

    def answer(self, batch: Batch) -> list[Any]:
        """The place of the likeliest choice; `conclude` makes it the choice."""
        return self(batch).logits.argmax(-1).tolist()

    def conclude(self, queries: Sequence[Query], answers: Iterable[Any]) -> Iterator[str]:
        """The chosen texts."""
        return (q.inputs["choices"][a] for q, a in zip(queries, answers, strict=True))


def _pairs(queries: Sequence[Query]) -> list[Query]:
    """A query for each choice of each, whose text is the question and that choice."""
    return [
        Query(query.id, {**query.inputs, "text": f"{query.inputs['text']} {choice}"})
        for query in queries
        for choice in query.inputs["choices"]
    ]


def _place(sample: Sample) -> int:
    choices = sample.inputs["choices"]
    return choices.index(sample.target) if sample.target in choices else UNKNOWN_ANSWER
