"""Composes a task's model from the zoo: encoders by modality, a fusion, and what they read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.data.batches import distinct_each
from mmbench.data.features import FeatureCache, Features
from mmbench.data.media import at_hand
from mmbench.data.sample import Query, Sample
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses, TaskModel, move
from mmbench.parts import build_encoder
from mmbench.processes import here
from mmbench.recipe import Recipe
from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.encoders.pretrained import PretrainedEncoder
from mmbench.zoo.fusion.base import Form, Fused, Fusion
from mmbench.zoo.fusion.late import LateFusion
from mmbench.zoo.kept_streams import KeptStreams
from mmbench.zoo.stream import Stream

_AT_ONCE = 64  # inputs of a frozen encoder at a time, on a GPU
_KEPT_AT_ONCE = 128  # inputs that are encoded at a time to be kept
_MOST_KEPT = 2**30  # bytes of a modality's streams
_KINDS = ("", "_features", "_pooled", "_stream")  # what `read` makes of a modality


class ComposedModel(TaskModel):
    """A model with an encoder for each modality that its recipe does not drop.

    What a frozen encoder makes of the queries that `prepare` was told of is computed once and kept
    on disk; of others it is computed as they come. Of a modality that is only read pooled, its
    pooled features are kept and collated, as many numbers as one token has.

    Args:
        recipe: resolved.
        modalities: in the order in which the task uses them.
        vocabulary: of the texts.
        beside: those of the modalities that no query holds: stages train their encoders beside
            what the task asks.
    """

    def __init__(
        self,
        recipe: Recipe,
        modalities: Sequence[str],
        vocabulary: Vocabulary,
        beside: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.loss_weights = recipe.losses
        self.encoders = nn.ModuleDict()
        for modality in modalities:
            part = recipe.encoders.get(modality)
            if part is not None:
                self.encoders[modality] = build_encoder(modality, part, recipe.width, vocabulary)
        self._asked = [modality for modality in self.encoders if modality not in beside]
        self._forms: dict[str, Form] = dict.fromkeys(self.encoders, "tokens")
        self._caches: dict[str, FeatureCache] = {}
        self._kept: dict[str, KeptStreams] = {}
        self._query: str | None = None
        self._shares = Shares()

    def reads(
        self, forms: Mapping[str, Form], always_pools: bool = False, query: str | None = None
    ) -> None:
        """Say what is read of each modality, its tokens or one vector; call it once.

        Args:
            forms: by modality; tokens are the default.
            always_pools: whether each stream is pooled besides, whatever its form.
            query: the modality at whose positions a fusion writes, if it is one.
        Raises: MMBenchError if a recipe chose how to pool what is not pooled.
        """
        self._query = query
        self._forms |= {modality: forms[modality] for modality in self.encoders}
        for modality in self.encoders:
            kind = self.encoder(modality).pooling.kind
            if kind != "mean" and self._forms[modality] == "tokens" and not always_pools:
                raise MMBenchError(
                    f"encoders.{modality}.pooling: {kind} has no effect, since the fusion reads "
                    f"the tokens of {modality}: leave it out"
                )
        for modality, encoder in self.encoders.items():
            if isinstance(encoder, PretrainedEncoder) and encoder.frozen:
                self._caches[modality] = (
                    FeatureCache(
                        f"{encoder.fingerprint}-{encoder.pooling.kind}-layer_norm", np.float32
                    )
                    if self._keeps_pooled(modality)
                    else FeatureCache(encoder.fingerprint)
                )

    def encoder(self, modality: str) -> Any:
        """The encoder of a modality."""
        return self.encoders[modality]

    def _keeps_pooled(self, modality: str) -> bool:
        return self._forms[modality] == "pooled" and self.encoder(modality).pooling.commutes

    def prepare(self, queries: Sequence[Query]) -> None:
        """Compute what frozen encoders make of the queries, once.

        Raises: MMBenchError if the cache cannot be written.
        """
        self._shares.clear()
        for modality in self._caches:
            self.remember(modality, [q.inputs[modality] for q in queries if modality in q.inputs])

    def remember(self, modality: str, values: Iterable[Any]) -> None:
        """Compute what a frozen encoder makes of these values, once; of another one, nothing."""
        if (cache := self._caches.get(modality)) is not None:
            compute = partial(self._compute, modality)
            cache.add(distinct_each(list(values))[0], compute, f"computing features of {modality}")

    def _compute(self, modality: str, values: Sequence[Any]) -> Iterator[Features]:
        """The features (N, F) of each of these values, by a frozen encoder."""
        encoder = self.encoder(modality)
        device = encoder.project.weight.device
        at_once = encoder.at_once if device.type == "cpu" else _AT_ONCE
        for start in range(0, len(values), at_once):
            x, mask = encoder.read(at_hand(values[start : start + at_once]))
            x, mask = x.to(device), None if mask is None else mask.to(device)
            if self._keeps_pooled(modality):
                yield from encoder.extract_pooled(x, mask)[:, None].cpu().numpy()
                continue
            found = encoder.extract(x, mask)
            for tokens, there in zip(found.tokens.half().cpu(), found.mask.cpu(), strict=True):
                yield tokens[there].numpy()

    def inputs(self, queries: Sequence[Query]) -> Batch:
        """The queries' inputs, each distinct one once.

        Returns: for each modality that the queries have what `read` gives, and for example
            `text_rows` (B,), which place them in the queries; where some have several images
            `image_rows` (B, K), -1 behind the last of those that have fewer.
        """
        batch: Batch = {}
        for modality in self._asked:
            try:
                found, rows = distinct_each([query.inputs[modality] for query in queries])
            except KeyError:
                raise MMBenchError(f"a query has no {modality}, which the model reads") from None
            batch |= self.read(modality, found)
            batch[f"{modality}_rows"] = torch.from_numpy(rows)
        return batch

    def read(self, modality: str, values: Sequence[Any]) -> Batch:
        """What the encoder of a modality reads, of these values (U).

        Returns: for example `text` (U, L) int64 word numbers, (U, 3, H, W) uint8 images,
            (U, T, 3, H, W) uint8 videos or (U, S) int16 sounds, and `text_mask` (U, L) bool where
            not all is there. Of a frozen encoder, where they are known, the features in their
            place: `text_features` (U, N, F) float16 and their mask, or `text_pooled` (U, F)
            float32. Of what is kept, `text_stream` (U, N, D) and its mask.
        """
        kept = self._kept.get(modality)
        if kept is not None and self.reuses_features and kept.holds(values):
            stream = kept.of(values)
            return {f"{modality}_stream": stream.tokens, f"{modality}_mask": stream.mask}
        cache = self._caches.get(modality)
        if cache is not None and self.reuses_features and cache.holds(values):
            features, mask = (torch.from_numpy(array) for array in cache.rows(values))
            if self._keeps_pooled(modality):
                return {f"{modality}_pooled": features[:, 0]}
            return {f"{modality}_features": features, f"{modality}_mask": mask}
        x, there = self.encoder(modality).read(at_hand(values))
        return {modality: x} if there is None else {modality: x, f"{modality}_mask": there}

    def holds(self, modality: str, batch: Batch) -> bool:
        """Whether a batch has what `read` makes of a modality."""
        return any(f"{modality}{kind}" in batch for kind in _KINDS)

    def keep(self, queries: Sequence[Query], modalities: Sequence[str]) -> None:
        self._kept.clear()
        for modality in set(modalities) & set(self._asked) if queries else ():
            given = [q.inputs[modality] for q in queries if modality in q.inputs]
            values = distinct_each(given)[0]
            if (kept := self._streams_of(modality, values)) is not None:
                self._kept[modality] = kept

    def _streams_of(self, modality: str, values: Sequence[Any]) -> KeptStreams | None:
        """The streams of all these values; None where they would take too much memory."""
        device = next(self.parameters()).device
        blocks: list[Stream] = []
        for start in range(0, len(values), _KEPT_AT_ONCE):
            some = values[start : start + _KEPT_AT_ONCE]
            with torch.inference_mode():
                blocks.append(self.stream(modality, move(self.read(modality, some), device)))
            longest = max(block.tokens.shape[1] for block in blocks)
            if len(values) * longest * blocks[-1].tokens[0, 0].nbytes > _MOST_KEPT:
                return None
        return KeptStreams(values, blocks) if blocks else None

    def without(self, batch: Batch, modality: str) -> Batch:
        """Returns: the batch, and for example `image_missing` ()."""
        return batch | {f"{modality}_missing": torch.ones((), dtype=torch.bool)}

    def _nothing(self, modality: str, batch: Batch) -> Stream:
        """What stands for the distinct inputs of a modality that is missing, (U, 1, D).

        No token, so that it takes no part; but the query of a fusion is one position of zeros, for
        the fusion to write at.
        """
        given = next(batch[f"{modality}{k}"] for k in _KINDS if f"{modality}{k}" in batch)
        tokens = next(self.parameters()).new_zeros(len(given), 1, self.encoder(modality).dim)
        there = modality == self._query
        return Stream(tokens, tokens.new_full(tokens.shape[:2], there, dtype=torch.bool))

    def stream(self, modality: str, batch: Batch) -> Stream:
        """The encoded distinct inputs of a modality: (U, N, D), or (U, 1, D) if it is pooled.

        In training, features are dropped as `train.dropout` says.
        """
        encoded = self._encoded(modality, batch)
        if not (self.dropout and self.training):
            return encoded
        return replace(encoded, tokens=functional.dropout(encoded.tokens, self.dropout))

    def _encoded(self, modality: str, batch: Batch) -> Stream:
        encoder = self.encoder(modality)
        mask = batch.get(f"{modality}_mask")
        if f"{modality}_missing" in batch:
            return self._nothing(modality, batch)
        if f"{modality}_stream" in batch:
            return Stream(batch[f"{modality}_stream"], batch[f"{modality}_mask"])
        if f"{modality}_pooled" in batch:
            return encoder.of_pooled(batch[f"{modality}_pooled"])
        if f"{modality}_features" in batch:
            stream = encoder.of_features(batch[f"{modality}_features"], mask)
        else:
            stream = encoder(batch[modality], mask)
        if self._forms[modality] == "tokens":
            return stream
        return Stream(encoder.pool(stream)[:, None], stream.present[:, None])

    def by_sample(self, modality: str, batch: Batch) -> Stream:
        """The encoded input of each query, (B, N, D); without tokens where it is dropped.

        Of several images the tokens stand side by side, (B, K * N, D), as so many parts.
        """
        stream, rows = self.stream(modality, batch), batch[f"{modality}_rows"]
        if rows.ndim == 1:
            return self.kept(modality, stream.take(rows), batch)
        return self.kept(
            modality, stream.take(rows.clamp(min=0).flatten()).beside(rows >= 0), batch
        )

    def contexts_kept(
        self, samples: Sequence[Sample], share: float, rng: np.random.Generator
    ) -> Batch:
        """Returns: for example `image_kept` (B,) bool."""
        return {
            f"{modality}_kept": torch.from_numpy(rng.random(len(samples)) >= share)
            for modality in self.fused_contexts
        }

    def kept(self, modality: str, stream: Stream, batch: Batch) -> Stream:
        """The stream without the tokens of rows that `contexts_kept` drops."""
        kept = batch.get(f"{modality}_kept")
        return stream if kept is None else stream.where(kept[:, None])

    def contexts(self, batch: Batch) -> list[Stream]:
        """The encoded inputs of every modality of the queries, a row a query, (B, N, D) each."""
        return [self.by_sample(modality, batch) for modality in self._asked]

    def weighed(self, own: Losses, fusion: Mapping[str, Tensor]) -> Losses:
        """The task's own losses and those of the fusion, by their weights in the recipe.

        Args:
            own: by name; the weight of all of them is called `task`.
            fusion: the fusion's, by name.
        """
        weights = self.loss_weights
        if (weight := weights.get("task", 1.0)) != 1:
            own = {name: weight * loss for name, loss in own.items()}
        others = {f"fusion.{name}": weights.get(name, 1.0) * x for name, x in fusion.items()}
        return own | others

    def count_shares(self, part: nn.Module | None, names: Sequence[str]) -> None:
        """Keep how much each modality counts in the answers, of the fusions in a part.

        The record's notes tell it, for fusions that define it (`Fused.shares`).

        Args:
            part: a fusion, or a decoder that holds some.
            names: of the modalities, the query's first.
        """
        self._shares.names = list(names)

        def count(module: nn.Module, _: Any, given: Fused | Decoded) -> None:
            if given.shares is None or module.training:
                return
            there = given.stream.mask[..., None] if isinstance(given, Fused) else 1
            self._shares.add(given.shares * there)

        for module in part.modules() if part is not None else ():
            if isinstance(module, Fusion | LateFusion):
                module.register_forward_hook(count)

    def notes(self) -> list[str]:
        """How much each modality counted in the answers just given, where that is defined."""
        return self._shares.notes()


def forms_of(part: nn.Module | None, modalities: Sequence[str]) -> dict[str, Form]:
    """By modality, in what form a fusion reads it, or the fusions that a decoder holds.

    Args:
        part: that fusion or decoder; pooled is what is read where there is no fusion. A decoder
            that looks at tokens itself says so (`reads_tokens`).
        modalities: the query's first.
    """
    fusions = [m for m in part.modules() if isinstance(m, Fusion)] if part is not None else []
    query, *contexts = modalities
    forms: dict[str, Form] = dict.fromkeys(modalities, "pooled")
    for fusion in fusions:
        forms[query] = fusion.query_form
        forms |= dict.fromkeys(contexts, fusion.context_form)
    if getattr(part, "reads_tokens", False):
        forms |= dict.fromkeys(contexts, "tokens")
    return forms


class Shares:
    """How much each modality counted, summed over all fused positions.

    Attributes:
        names: of the modalities.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.clear()

    def clear(self) -> None:
        """Forget what was counted."""
        self._total: Tensor | float = 0.0

    def add(self, shares: Tensor) -> None:
        """Count shares (B, T, M)."""
        self._total = self._total + shares.detach().sum((0, 1)).double()

    def notes(self) -> list[str]:
        """A line for the record, if anything was counted."""
        counted = [x for x in here().of_each(self._total) if isinstance(x, Tensor)]
        total = torch.stack(counted).sum(0) if counted else torch.zeros(())
        if not bool(total.sum() > 0):
            return []
        parts = (100 * total / total.sum()).tolist()
        shown = ", ".join(f"{n} {p:.1f}%" for n, p in zip(self.names, parts, strict=True))
        return [f"mean share of each modality in the fusion: {shown}"]
