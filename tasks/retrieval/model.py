"""How a retrieval model is composed: a dual encoder finds candidates, the fusion re-ranks them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from mmbench.compose import ComposedModel, forms_of
from mmbench.data.sample import Query, Sample
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses
from mmbench.parts import build_classifier, build_fusion
from mmbench.recipe import Recipe
from mmbench.zoo.precision import in_float32
from mmbench.zoo.stream import Stream
from mmbench_tasks.retrieval.answers import Embedded

RERANKED = 16  # candidates of each query that the fused score orders anew
_WRONG = 7  # wrong partners of each query that the matching learns from
_ROWS = 1024  # texts that are compared with all media at a time
_BLOCK = 64  # queries whose candidates are scored at a time


class Encoded(NamedTuple):
    """A query as the dual encoder sees it, and what the fusion needs of it, on the device.

    Attributes:
        embedding: (D,) float32, of length 1.
        tokens, mask: (N, D) float32, (N,) bool, its stream.
    """

    embedding: Tensor
    tokens: Tensor
    mask: Tensor


class RetrievalModel(ComposedModel):
    """A dual encoder trained by NT-Xent, and a matching score that re-ranks what it finds first.

    Both sides are encoded, pooled and projected; their cosine is the score. Where the recipe has a
    fusion, the text (query) and the image (context) are fused, pooled or token by token as the
    fusion reads them, and the decoder makes a matching score that is added to the dual encoder's
    for the first candidates. It learns to pick the right partner among wrong ones of the batch,
    which are drawn the more often the nearer the dual encoder finds them.

    Source: NT-Xent: Sohn 2016; Radford et al., CLIP, 2021 (arXiv 2103.00020), fig. 3; matching
        with hard negatives: Li et al., ALBEF, 2021 (arXiv 2107.07651), sec. 3.2; the sum of both
        scores: Li et al., BLIP, 2022 (arXiv 2201.12086), as its code evaluates retrieval.

    Args:
        recipe: resolved.
        words: the vocabulary of the captions.
    """

    def __init__(self, recipe: Recipe, words: list[str]) -> None:
        media = [m for m, part in recipe.encoders.items() if m != "text" and part is not None]
        super().__init__(recipe, ("text", *media), Vocabulary(words))
        if "text" not in self.encoders or len(media) != 1:
            raise MMBenchError(
                "a retrieval recipe needs an encoder for the text and one for what it describes; "
                f"it has {', '.join(self.encoders) or 'none'}"
            )
        self.medium = media[0]
        self.project = nn.ModuleDict(
            {side: nn.Linear(recipe.width, recipe.width) for side in self.encoders}
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.fusion = build_fusion(recipe, media) if recipe.fusion else None
        self.fused_contexts = tuple(media) if self.fusion else ()
        self.reads(forms_of(self.fusion, ["text", self.medium]), always_pools=True, query="text")
        self.count_shares(self.fusion, ["text", self.medium])
        assert recipe.decoder is not None  # a resolved recipe has one
        self.decoder = (
            build_classifier(recipe.decoder, recipe.width, classes=1) if self.fusion else None
        )

    def collate(self, queries: Sequence[Query]) -> Batch:
        """Returns: what the encoders read, and `is_text` (B,), of which side each query is."""
        is_text = torch.tensor(["text" in query.inputs for query in queries])
        return {"is_text": is_text} | self._sides(queries)

    def collate_training(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Returns: what the encoders read, of the media and of one drawn text of each's group.

        Raises: MMBenchError for a medium without a text, or texts alone.
        """
        texts_of: dict[str, list[Sample]] = {}
        for sample in samples:
            if "text" in sample.inputs:
                texts_of.setdefault(sample.group, []).append(sample)
        media = [sample for sample in samples if self.medium in sample.inputs]
        if not media or any(sample.group not in texts_of for sample in media):
            raise MMBenchError(
                f"a model of retrieval compares samples of texts with those of {self.medium}s, and "
                f"these have no {self.medium if not media else 'texts'}"
            )
        known = [texts_of[sample.group] for sample in media]
        return self._sides([*media, *(texts[rng.integers(len(texts))] for texts in known)])

    def contexts_kept(
        self, samples: Sequence[Sample], share: float, rng: np.random.Generator
    ) -> Batch:
        """Of the media, as the fusion reads them; the dual encoder reads them all."""
        media = [sample for sample in samples if self.medium in sample.inputs]
        return super().contexts_kept(media, share, rng)

    def _sides(self, queries: Sequence[Query]) -> Batch:
        """What the encoder of each side that is there reads."""
        values = {s: [q.inputs[s] for q in queries if s in q.inputs] for s in self.encoders}
        read = [self.read(side, found) for side, found in values.items() if found]
        return {name: tensor for batch in read for name, tensor in batch.items()}

    def encode(self, side: str, batch: Batch) -> tuple[Tensor, Stream]:
        """Embeddings (U, D) of length 1, and the stream that the fusion takes."""
        stream = self.stream(side, batch)
        pooled = self.encoder(side).pool(stream)
        return functional.normalize(self.project[side](pooled), dim=-1), stream

    def scale(self) -> Tensor:
        """The inverse of the temperature, at most 100."""
        return self.log_scale.clamp(max=math.log(100.0)).exp()

    def match(
        self, text: Stream, medium: Stream, texts: Tensor, media: Tensor, logits: Tensor
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The score of pairs: the dual encoder's logit, and what the fusion adds to it.

        Args:
            text, medium: streams (U, N, D) of the two sides.
            texts, media: (P, K), rows of them.
            logits: (P, K), the dual encoder's.
        Returns: (P, K), and the fusion's own losses.
        """
        assert self.fusion is not None
        assert self.decoder is not None
        fused = self.fusion(text.take(texts.flatten()), [medium.take(media.flatten())])
        return logits + self.decoder(fused.stream).float().view_as(logits), fused.losses

    def losses(self, batch: Batch, label_smoothing: float = 0.0) -> Losses:
        """NT-Xent in both directions, and the matching loss where there is a fusion."""
        texts, text = self.encode("text", batch)
        media, medium = self.encode(self.medium, batch)
        with in_float32(texts.device):
            logits = texts.float() @ media.float().T * self.scale()
        own = torch.arange(len(logits), device=logits.device)
        loss = functional.cross_entropy(logits, own, label_smoothing=label_smoothing)
        loss = loss + functional.cross_entropy(logits.T, own, label_smoothing=label_smoothing)
        losses = {"nt_xent": loss / 2}
        if self.fusion is None or len(own) < 2:
            return self.weighed(losses, {})
        medium = self.kept(self.medium, medium, batch)
        near = logits.detach()
        media_of = self._rivals(near)  # (U, 1 + W), the right one first
        texts_of = self._rivals(near.T)
        asked = own[:, None].expand_as(media_of)
        by_text, one = self.match(text, medium, asked, media_of, near[asked, media_of])
        by_medium, two = self.match(text, medium, texts_of, asked, near[texts_of, asked])
        right = torch.zeros_like(own)
        matching = functional.cross_entropy(by_text, right, label_smoothing=label_smoothing)
        matching += functional.cross_entropy(by_medium, right, label_smoothing=label_smoothing)
        return self.weighed(
            losses | {"matching": matching / 2},
            {name: (one[name] + two[name]) / 2 for name in one},
        )

    def _rivals(self, logits: Tensor) -> Tensor:
        """For each row (U) its own column, then wrong ones drawn by their softmax, (U, 1 + W).

        As `torch.multinomial` draws without replacement, which waits for the device to check that
        these are chances.
        """
        own = torch.arange(len(logits), device=logits.device)
        wrong = min(_WRONG, len(own) - 1)
        chances = logits.softmax(1).clamp(min=1e-6).fill_diagonal_(0)
        drawn = (chances / torch.empty_like(chances).exponential_()).topk(wrong).indices
        return torch.cat([own[:, None], drawn], dim=1)

    def alike(self, batches: Iterable[Batch], count: int) -> Tensor:
        """The media that the dual encoder finds for a text of the group."""
        sides = [(self.encode("text", b)[0], self.encode(self.medium, b)[0]) for b in batches]
        texts, media = (torch.cat(side) for side in zip(*sides, strict=True))
        count = min(count, len(media))
        return torch.cat([(some @ media.T).topk(count).indices for some in texts.split(_ROWS)])

    def answer(self, batch: Batch) -> list[Any]:
        """An `Encoded` per query."""
        sides = {}
        for side in (s for s in self.encoders if self.holds(s, batch)):
            embedding, stream = self.encode(side, batch)
            parts = (embedding.float(), stream.tokens.float(), stream.mask)
            rows = [part.unbind() for part in parts]
            sides[side] = iter([Encoded(*row) for row in zip(*rows, strict=True)])
        is_text = batch["is_text"].tolist()
        return [next(sides["text" if text else self.medium]) for text in is_text]

    def conclude(self, queries: Sequence[Query], answers: Iterable[Any]) -> Iterator[Embedded]:
        """Embeddings; and where there is a fusion, what it makes of each query's candidates."""
        encoded: list[Encoded] = list(answers)
        is_text = ["text" in query.inputs for query in queries]
        texts = [e for e, asks in zip(encoded, is_text, strict=True) if asks]
        media = [e for e, asks in zip(encoded, is_text, strict=True) if not asks]
        embeddings = torch.stack([e.embedding for e in encoded]).cpu().numpy()
        if self.fusion is None or not texts or not media:
            yield from map(Embedded, embeddings)
            return
        scored = {
            True: self._candidates(texts, media, asking_text=True),
            False: self._candidates(media, texts, asking_text=False),
        }
        for embedding, side in zip(embeddings, is_text, strict=True):
            yield Embedded(embedding, *next(scored[side]))

    def _candidates(
        self, asking: list[Encoded], gallery: list[Encoded], asking_text: bool
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        """Of each query the first candidates in the gallery (k,), and their matching scores.

        All of it is on the device until the last block is done.
        """
        embeddings, stream = _stacked(gallery)
        kept = min(RERANKED, len(gallery))
        blocks = []
        with torch.inference_mode():
            for start in range(0, len(asking), _BLOCK):
                asked, queries = _stacked(asking[start : start + _BLOCK])
                logits, found = (asked @ embeddings.T * self.scale()).topk(kept)  # (b, k)
                rows = torch.arange(len(found), device=found.device)[:, None].expand_as(found)
                if asking_text:
                    scores, _ = self.match(queries, stream, rows, found, logits)
                else:
                    scores, _ = self.match(stream, queries, found, rows, logits)
                blocks.append((found, scores.float()))
        whole = [torch.cat(part).cpu().numpy() for part in zip(*blocks, strict=True)]
        return zip(*whole, strict=True)


def _stacked(rows: Sequence[Encoded]) -> tuple[Tensor, Stream]:
    """Embeddings (U, D), and streams of as many tokens as the longest."""
    tokens = pad_sequence([row.tokens for row in rows], batch_first=True)
    mask = pad_sequence([row.mask for row in rows], batch_first=True)
    return torch.stack([row.embedding for row in rows]), Stream(tokens, mask)
