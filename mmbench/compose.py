"""Composes a task's model from the zoo: encoders by modality, a fusion, and what they read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.data.batches import distinct
from mmbench.data.features import FeatureCache, Features
from mmbench.data.sample import Query
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.model import Batch, TaskModel
from mmbench.recipe import Recipe
from mmbench.zoo.encoders.pretrained import PretrainedEncoder
from mmbench.zoo.fusion.base import Fusion
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream

_AT_ONCE = 64  # inputs of a frozen encoder at a time, on a GPU


class ComposedModel(TaskModel):
    """A model with an encoder for each modality that its recipe does not drop.

    What a frozen encoder makes of the samples that `prepare` was told of is computed once and kept
    on disk; of others it is computed as they come.

    Args:
        recipe: resolved.
        modalities: in the order in which the task uses them.
        vocabulary: of the texts.
    """

    def __init__(self, recipe: Recipe, modalities: Sequence[str], vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.encoders = nn.ModuleDict()
        for modality in modalities:
            part = recipe.encoders.get(modality)
            if part is None:
                continue
            encoder = build_part(
                "encoders",
                part.name,
                part.options,
                dim=recipe.width,
                vocabulary=len(vocabulary),
            )
            if encoder.modality != modality:
                raise MMBenchError(f"the encoder for {modality} reads {encoder.modality}")
            self.encoders[modality] = encoder
        self._features = {
            modality: FeatureCache(encoder.fingerprint)
            for modality, encoder in self.encoders.items()
            if isinstance(encoder, PretrainedEncoder) and encoder.frozen
        }

    def prepare(self, queries: Sequence[Query]) -> None:
        """See `TaskModel.prepare`.

        Raises: MMBenchError if the cache cannot be written.
        """
        for modality in self._features:
            self.remember(modality, [q.inputs[modality] for q in queries if modality in q.inputs])

    def remember(self, modality: str, values: Iterable[Any]) -> None:
        """Compute what a frozen encoder makes of these values, once; another encoder is let be."""
        if (features := self._features.get(modality)) is not None:
            compute = partial(self._compute, modality)
            features.add(distinct(list(values))[0], compute, f"computing features of {modality}")

    def _compute(self, modality: str, values: Sequence[Any]) -> Iterator[Features]:
        """The features (N, F) of each of these values, by a frozen encoder."""
        encoder: Any = self.encoders[modality]
        device = encoder.project.weight.device
        at_once = encoder.at_once if device.type == "cpu" else _AT_ONCE
        for start in range(0, len(values), at_once):
            inputs = self._inputs(modality, values[start : start + at_once])
            for tokens in encoder.extract(inputs.to(device)).half().cpu():
                yield tokens[~tokens[:, 0].isnan()].numpy()

    def inputs(self, queries: Sequence[Query]) -> Batch:
        """The queries' inputs, each distinct one once.

        Returns: for each modality that the queries have, for example `text`, (U, L) int64 token
            numbers, (U, 3, H, W) uint8 images, (U, T, 3, H, W) uint8 videos or (U, S) int16
            sounds; and `text_rows` (B,), which place them in the queries.
        """
        batch: Batch = {}
        for modality in self.encoders:
            values = [query.inputs.get(modality) for query in queries]
            if any(value is None for value in values):
                raise MMBenchError(f"a query has no {modality}, which the model reads")
            found, rows = distinct(values)
            batch[modality] = self.tensor(modality, found)
            batch[f"{modality}_rows"] = torch.from_numpy(rows)
        return batch

    def tensor(self, modality: str, values: Sequence[Any]) -> Tensor:
        """What the encoder of a modality reads, of these values (U).

        Of a frozen one that is their features, (U, N, F) float16, where they are known.
        """
        features = self._features.get(modality)
        if features is not None and self.reuses_features and features.holds(values):
            return torch.from_numpy(features.rows(values))
        return self._inputs(modality, values)

    def _inputs(self, modality: str, values: Sequence[Any]) -> Tensor:
        if modality == "text":
            texts = [str(text) for text in values]
            own: Tensor | None = self.encoders["text"].tokenize(texts)  # type: ignore[operator]
            return torch.from_numpy(self.vocabulary.encode(texts)) if own is None else own
        arrays = torch.from_numpy(np.stack([value.array() for value in values]))
        return arrays.movedim(-1, -3) if modality in ("image", "video") else arrays

    def stream(self, modality: str, batch: Batch) -> Stream:
        """The encoded distinct inputs of a modality, (U, N, D)."""
        return self.encoders[modality](batch[modality])

    def contexts(self, batch: Batch) -> list[Stream]:
        """The encoded inputs of every modality, a row a sample, (B, N, D) each."""
        return [self.stream(m, batch).take(batch[f"{m}_rows"]) for m in self.encoders]


def build_fusion(recipe: Recipe, contexts: int) -> Fusion:
    """The recipe's fusion for so many context streams.

    Raises: MMBenchError if it names none.
    """
    if recipe.fusion is None:
        raise MMBenchError("this recipe joins several modalities: it needs a fusion")
    return build_part(
        "fusions", recipe.fusion.name, recipe.fusion.options, dim=recipe.width, contexts=contexts
    )
