"""How a VQA model is composed: question and media, encoded, fused at the question, classified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.compose import ComposedModel, forms_of
from mmbench.data.sample import Query, Sample
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Decision, Losses
from mmbench.parts import build_classifier, build_fusion, build_late_fusion, fuses_late
from mmbench.recipe import Recipe
from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.fusion.base import Fused
from mmbench.zoo.fusion.late import LateFusion
from mmbench.zoo.stream import Stream
from mmbench_tasks.vqa.task import most_frequent

MODALITIES = ("text", "image", "video", "audio")  # the first that a model has is the query
UNKNOWN_ANSWER = -100  # a target that training did not have: no loss, and it cannot be answered


class VQAModel(ComposedModel):
    """Encoders -> fusion -> classifier; or, fused at the decision, a classifier per modality.

    The query of the fusion is the question, the media its contexts, each as the fusion reads it:
    pooled or token by token. A recipe without a text encoder makes the first medium the query; one
    with a single modality needs no fusion.

    Args:
        recipe: resolved.
        words: the vocabulary of the questions.
        answers: the labels to choose from; None where each sample has choices of its own, which
            get a logit each.
    """

    def __init__(self, recipe: Recipe, words: list[str], answers: list[str] | None) -> None:
        super().__init__(recipe, MODALITIES, Vocabulary(words))
        self._answers = answers or []
        self._label = {answer: label for label, answer in enumerate(self._answers)}
        modalities = list(self.encoders)
        if not modalities:
            known = list(recipe.encoders)
            raise MMBenchError(
                f"a vqa recipe needs an encoder for {' or '.join(known)}; "
                f"{'both' if len(known) == 2 else 'all'} are null"
            )
        several = len(modalities) > 1
        if several and recipe.fusion is None:
            raise MMBenchError(f"a vqa recipe with {' and '.join(modalities)} needs a fusion")
        if not several and recipe.fusion is not None:
            raise MMBenchError("a vqa recipe of one modality has nothing to fuse: drop its fusion")
        self.fusion: nn.Module | None = None
        self._recipe = recipe
        self.classes = classes = None if answers is None else len(answers)
        if fuses_late(recipe):
            self.fusion = build_late_fusion(recipe, modalities, classes)
        elif several:
            self.fusion = build_fusion(recipe, modalities[1:])
        self.fused_contexts = tuple(modalities[1:])
        late = isinstance(self.fusion, LateFusion)
        self.reads(forms_of(self.fusion, modalities), query=None if late else modalities[0])
        self.count_shares(self.fusion, modalities)
        self.decoder = (
            nn.ModuleDict({name: self.head(name) for name in modalities})
            if late
            else self.head(modalities[0])
        )

    def collate(self, queries: Sequence[Query]) -> Batch:
        """Returns: see `ComposedModel.inputs`."""
        return self.inputs(queries)

    def collate_training(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Returns: see `ComposedModel.inputs`; and `target` (B,) int64. It draws nothing."""
        right = [most_frequent(sample.target) for sample in samples]
        labels = [self._label.get(answer, UNKNOWN_ANSWER) for answer in right]
        return self.inputs(samples) | {"target": torch.tensor(labels)}

    def head(self, modality: str) -> nn.Module:
        """The recipe's decoder; the same for every modality, and for what is fused."""
        part = self._recipe.decoder
        assert part is not None  # a resolved recipe has one
        return build_classifier(part, self._recipe.width, self.classes or 1)

    def forward(self, batch: Batch) -> Decoded:
        """Logits (B, answers), and what the fusion gave besides."""
        return self.decoded(self.streams(batch), batch)

    def streams(self, batch: Batch) -> dict[str, Stream]:
        """What each modality's encoder makes of each query, the fusion's query first."""
        return dict(zip(self.encoders, self.contexts(batch), strict=True))

    def decoded(self, streams: Mapping[str, Stream], batch: Batch) -> Decoded:
        """Logits (B, answers) of the streams, and what the fusion gave besides."""
        if isinstance(self.fusion, LateFusion):
            each = [
                self.arranged(self.decoder[modality](stream), batch)  # type: ignore[index]
                for modality, stream in streams.items()
            ]
            present = [self.held(stream.present, batch) for stream in streams.values()]
            return self.fusion(each, present, batch.get("target") if self.training else None)
        query, *contexts = streams.values()
        fused = Fused(query) if self.fusion is None else self.fusion(query, contexts)
        logits = self.arranged(self.decoder(fused.stream), batch)
        return Decoded(logits, fused.losses, fused.shares)

    def arranged(self, logits: Tensor, batch: Batch) -> Tensor:
        """A classifier's logits as they are compared with each other."""
        return logits

    def held(self, present: Tensor, batch: Batch) -> Tensor:
        """Which samples have a modality (B,), of which rows of the streams have it."""
        return present

    def losses(self, batch: Batch, label_smoothing: float = 0.0) -> Losses:
        """Cross-entropy of the right answer, and the fusion's own."""
        return self.decide(batch, label_smoothing).losses

    def terms(self, batch: Batch) -> Mapping[str, Tensor | int]:
        """The answers that it knows; a fusion's own losses are means over the same."""
        return {"": (batch["target"] >= 0).sum()}

    def decide(self, batch: Batch, label_smoothing: float = 0.0) -> Decision:
        streams = self.streams(batch)
        decoded = self.decoded(streams, batch)
        loss = self.answer_loss(decoded.logits.float(), batch, label_smoothing)
        return Decision(
            decoded.logits,
            batch["target"],
            self.weighed({"answer": loss}, decoded.losses),
            "answer",
            streams,
            {name: self.held(stream.present, batch) for name, stream in streams.items()},
            lambda logits: self.arranged(logits, batch),
        )

    def answer_loss(self, logits: Tensor, batch: Batch, label_smoothing: float) -> Tensor:
        """Cross-entropy of the right answer."""
        return functional.cross_entropy(
            logits,
            batch["target"],
            ignore_index=UNKNOWN_ANSWER,
            label_smoothing=label_smoothing,
        )

    def answer(self, batch: Batch) -> list[str]:
        """The likeliest answer."""
        return [self._answers[label] for label in self(batch).logits.argmax(-1).tolist()]
