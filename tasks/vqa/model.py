"""How a VQA model is composed: question and image, encoded, fused at the question, classified."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmbench.compose import ComposedModel, build_fusion
from mmbench.data.sample import Query, Sample
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses
from mmbench.recipe import Recipe
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream
from mmbench_tasks.vqa.task import most_frequent

UNKNOWN_ANSWER = -100  # a target that training did not have: no loss, and it cannot be answered


class VQAModel(ComposedModel):
    """Encoders -> fusion -> classifier.

    The query of the fusion is the pooled question, the image its context. A recipe without a text
    encoder makes the image the query; one with a single modality needs no fusion.

    Args:
        recipe: resolved.
        words: the vocabulary of the questions.
        answers: the labels to choose from.
    """

    def __init__(self, recipe: Recipe, words: list[str], answers: list[str]) -> None:
        super().__init__(recipe, ("text", "image"), Vocabulary(words))  # the first is the query
        self._answers = answers
        self._label = {answer: label for label, answer in enumerate(answers)}
        contexts = len(self.encoders) - 1
        if contexts < 0:
            raise MMBenchError("a vqa recipe needs an encoder for image or text; both are null")
        if contexts and recipe.fusion is None:
            raise MMBenchError("a vqa recipe with image and text needs a fusion")
        if not contexts and recipe.fusion is not None:
            raise MMBenchError("a vqa recipe of one modality has nothing to fuse: drop its fusion")
        self.fusion = build_fusion(recipe, contexts) if contexts else None
        assert recipe.decoder is not None  # a resolved recipe has one
        self.decoder = build_part(
            "decoders",
            recipe.decoder.name,
            recipe.decoder.options,
            dim=recipe.width,
            classes=len(answers),
        )

    def collate(self, queries: Sequence[Query]) -> Batch:
        """Returns: see `ComposedModel.inputs`."""
        return self.inputs(queries)

    def collate_training(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Returns: see `ComposedModel.inputs`; and `target` (B,) int64. It draws nothing."""
        right = [most_frequent(sample.target) for sample in samples]
        labels = [self._label.get(answer, UNKNOWN_ANSWER) for answer in right]
        return self.inputs(samples) | {"target": torch.tensor(labels)}

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, answers)."""
        query, *contexts = [
            self._pooled(modality, batch).take(batch[f"{modality}_rows"])
            for modality in self.encoders
        ]
        fused = query if self.fusion is None else self.fusion(query, contexts)
        return self.decoder(fused)

    def _pooled(self, modality: str, batch: Batch) -> Stream:
        stream = self.stream(modality, batch)
        return stream.pooled() if modality == "text" else stream

    def losses(self, batch: Batch, label_smoothing: float = 0.0) -> Losses:
        """Cross-entropy of the right answer."""
        loss = functional.cross_entropy(
            self(batch).float(),
            batch["target"],
            ignore_index=UNKNOWN_ANSWER,
            label_smoothing=label_smoothing,
        )
        return {"answer": loss}

    def answer(self, batch: Batch) -> list[str]:
        """The likeliest answer."""
        return [self._answers[label] for label in self(batch).argmax(-1).tolist()]
