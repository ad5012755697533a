"""How a retrieval model is composed: a dual encoder finds candidates, the fusion re-ranks them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.compose import ComposedModel, build_fusion
from mmbench.data.sample import Sample
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.metrics.positives import Positives
from mmbench.metrics.ranking import Embeddings, rank_both
from mmbench.model import Batch
from mmbench.recipe import Recipe
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream

RERANKED = 16  # candidates of each query that the fused score orders anew
_WRONG = 7  # wrong partners of each query that the matching learns from
_ROWS = 1024  # texts that are compared with all media at a time
_BLOCK = 64  # queries whose candidates are scored at a time


class Encoded(NamedTuple):
    """A query as the dual encoder sees it, and what the fusion needs of it.

    Attributes:
        embedding: (D,), of length 1.
        tokens, mask: (N, D), (N,), its stream.
    """

    embedding: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]


class RetrievalModel(ComposedModel):
    """A dual encoder trained by NT-Xent, and a matching score that re-ranks what it finds first.

    Both sides are encoded, pooled and projected; their cosine is the score. Where the recipe has a
    fusion, the pooled text (query) and the image's tokens (context) are fused and the decoder makes
    a matching score that is added to the dual encoder's for the first candidates. It learns to pick
    the right partner among wrong ones of the batch, which are drawn the more often the nearer the
    dual encoder finds them.

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
        self._notes: list[str] = []
        self.project = nn.ModuleDict(
            {side: nn.Linear(recipe.width, recipe.width) for side in self.encoders}
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.fusion = build_fusion(recipe, 1) if recipe.fusion else None
        assert recipe.decoder is not None  # a resolved recipe has one
        self.decoder = (
            build_part(
                "decoders",
                recipe.decoder.name,
                recipe.decoder.options,
                dim=recipe.width,
                classes=1,
            )
            if self.fusion
            else None
        )

    def collate(self, samples: Sequence[Sample], targets: bool = True) -> Batch:
        """See `TaskModel.collate`.

        Returns: what the encoders read; `is_text` (B,) says of which side each sample is. With
            targets, of each group one text drawn at random with its image, in the same order.
        """
        texts = [sample for sample in samples if "text" in sample.inputs]
        media = [sample for sample in samples if self.medium in sample.inputs]
        if targets:
            of_group: dict[str, list[Sample]] = {}
            for sample in texts:
                of_group.setdefault(sample.group, []).append(sample)
            texts = []
            for sample in media:
                known = of_group[sample.group]
                texts.append(known[int(torch.randint(len(known), ()))])
        batch: Batch = {"is_text": torch.tensor(["text" in sample.inputs for sample in samples])}
        for side, chosen in (("text", texts), (self.medium, media)):
            if chosen:
                batch[side] = self.tensor(side, [sample.inputs[side] for sample in chosen])
        return batch

    def encode(self, side: str, batch: Batch) -> tuple[Tensor, Stream]:
        """Embeddings (U, D) of length 1, and the stream that the fusion takes."""
        stream = self.stream(side, batch)
        embedding = functional.normalize(self.project[side](stream.pool()), dim=-1)
        return embedding, stream.pooled() if side == "text" else stream

    def scale(self) -> Tensor:
        """The inverse of the temperature, at most 100."""
        return self.log_scale.clamp(max=math.log(100.0)).exp()

    def match(
        self, text: Stream, medium: Stream, texts: Tensor, media: Tensor, logits: Tensor
    ) -> Tensor:
        """The score of pairs: the dual encoder's logit, and what the fusion adds to it.

        Args:
            text, medium: streams (U, N, D) of the two sides.
            texts, media: (P, K), rows of them.
            logits: (P, K), the dual encoder's.
        Returns: (P, K).
        """
        assert self.fusion is not None
        assert self.decoder is not None
        fused = self.fusion(text.take(texts.flatten()), [medium.take(media.flatten())])
        return logits + self.decoder(fused).view_as(logits)

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
        """NT-Xent in both directions, and the matching loss where there is a fusion."""
        texts, text = self.encode("text", batch)
        media, medium = self.encode(self.medium, batch)
        logits = texts @ media.T * self.scale()
        own = torch.arange(len(logits), device=logits.device)
        loss = functional.cross_entropy(logits, own, label_smoothing=label_smoothing)
        loss = loss + functional.cross_entropy(logits.T, own, label_smoothing=label_smoothing)
        if self.fusion is None or len(own) < 2:
            return loss / 2
        near = logits.detach()
        media_of = self._rivals(near)  # (U, 1 + W), the right one first
        texts_of = self._rivals(near.T)
        asked = own[:, None].expand_as(media_of)
        by_text = self.match(text, medium, asked, media_of, near[asked, media_of])
        by_medium = self.match(text, medium, texts_of, asked, near[texts_of, asked])
        right = torch.zeros_like(own)
        matching = functional.cross_entropy(by_text, right, label_smoothing=label_smoothing)
        matching += functional.cross_entropy(by_medium, right, label_smoothing=label_smoothing)
        return (loss + matching) / 2

    def _rivals(self, logits: Tensor) -> Tensor:
        """For each row (U) its own column, then wrong ones drawn by their softmax, (U, 1 + W)."""
        own = torch.arange(len(logits), device=logits.device)
        wrong = min(_WRONG, len(own) - 1)
        chances = logits.float().softmax(1).clamp(min=1e-6).fill_diagonal_(0)
        return torch.cat([own[:, None], torch.multinomial(chances, wrong)], dim=1)

    def alike(self, batches: Iterable[Batch], count: int) -> Tensor:
        """See `TaskModel.alike`: the media that the dual encoder finds for a text of the group."""
        sides = [(self.encode("text", b)[0], self.encode(self.medium, b)[0]) for b in batches]
        texts, media = (torch.cat(side) for side in zip(*sides, strict=True))
        count = min(count, len(media))
        return torch.cat([(some @ media.T).topk(count).indices for some in texts.split(_ROWS)])

    def answer(self, batch: Batch) -> list[Any]:
        """An `Encoded` per sample; `conclude` makes ranks of them."""
        sides = {}
        for side in (s for s in self.encoders if s in batch):
            embedding, stream = self.encode(side, batch)
            parts = (embedding.float(), stream.tokens.float(), stream.mask)
            arrays = [part.cpu().numpy() for part in parts]
            sides[side] = iter([Encoded(*row) for row in zip(*arrays, strict=True)])
        is_text = batch["is_text"].tolist()
        return [next(sides["text" if text else self.medium]) for text in is_text]

    def conclude(self, samples: Sequence[Sample], answers: list[Any]) -> list[Any]:
        """The ranks of each query's right items, ascending."""
        place: dict[bool, list[int]] = {True: [], False: []}
        for number, sample in enumerate(samples):
            place["text" in sample.inputs].append(number)
        text_place, medium_place = place[True], place[False]
        if not text_place or not medium_place:
            raise MMBenchError(f"retrieval needs queries of both sides: text and {self.medium}")
        texts, media = [answers[i] for i in text_place], [answers[i] for i in medium_place]
        of_text = _right([samples[i] for i in text_place], [samples[i] for i in medium_place])
        of_medium = _right([samples[i] for i in medium_place], [samples[i] for i in text_place])
        text_side = np.stack([encoded.embedding for encoded in texts])
        medium_side = np.stack([encoded.embedding for encoded in media])
        medium_ranks, text_ranks = rank_both(Embeddings(medium_side, text_side), of_medium, of_text)
        self._notes = []
        if self.fusion is not None:
            found = [
                np.mean([ranks[0] == 1 for ranks in side]) for side in (text_ranks, medium_ranks)
            ]
            self._notes.append(
                f"recall at 1 of the dual encoder alone, before {RERANKED} are ranked anew: "
                f"{100 * found[0]:.2f} text to {self.medium}, {100 * found[1]:.2f} "
                f"{self.medium} to text"
            )
            text_ranks = self._reranked(text_ranks, of_text, texts, media, asking_text=True)
            medium_ranks = self._reranked(medium_ranks, of_medium, media, texts, asking_text=False)
        for number, ranks in zip(text_place + medium_place, text_ranks + medium_ranks, strict=True):
            answers[number] = ranks
        return answers

    def notes(self) -> list[str]:
        """What the dual encoder would have found by itself."""
        return self._notes

    def _reranked(
        self,
        ranks: list[Any],
        right: Positives,
        asking: list[Encoded],
        gallery: list[Encoded],
        asking_text: bool,
    ) -> list[Any]:
        """The ranks after each query's first candidates are ordered by their matching score."""
        device = self.log_scale.device
        embeddings, stream = _stacked(gallery, device)
        kept = min(RERANKED, len(gallery))
        result = []
        for start in range(0, len(asking), _BLOCK):
            asked, queries = _stacked(asking[start : start + _BLOCK], device)
            logits, found = (asked @ embeddings.T * self.scale()).topk(kept)  # (b, k)
            rows = torch.arange(len(found), device=device)[:, None].expand_as(found)
            if asking_text:
                scores = self.match(queries, stream, rows, found, logits)
            else:
                scores = self.match(stream, queries, found, rows, logits)
            for offset, (candidates, score) in enumerate(
                zip(found.cpu().numpy(), scores.float().cpu().numpy(), strict=True)
            ):
                query = start + offset
                wanted = right.items[right.offsets[query] : right.offsets[query + 1]]
                result.append(place_again(candidates, score, wanted, ranks[query]))
        return result


def _right(asking: Sequence[Sample], gallery: Sequence[Sample]) -> Positives:
    """The right items of queries: those of the gallery in the same group."""
    members: dict[str, list[int]] = {}
    for place, sample in enumerate(gallery):
        members.setdefault(sample.group, []).append(place)
    return Positives.of([members.get(sample.group, []) for sample in asking], len(gallery))


def _stacked(rows: Sequence[Encoded], device: torch.device) -> tuple[Tensor, Stream]:
    """Embeddings (U, D), and streams of as many tokens as the longest."""
    length = max(len(row.mask) for row in rows)
    tokens = np.zeros((len(rows), length, rows[0].tokens.shape[1]), np.float32)
    mask = np.zeros((len(rows), length), np.bool_)
    for place, row in enumerate(rows):
        tokens[place, : len(row.mask)], mask[place, : len(row.mask)] = row.tokens, row.mask
    embeddings = np.stack([row.embedding for row in rows])
    stream = Stream(torch.from_numpy(tokens).to(device), torch.from_numpy(mask).to(device))
    return torch.from_numpy(embeddings).to(device), stream


def place_again(
    candidates: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    wanted: npt.NDArray[np.int64],
    ranks: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """The ascending ranks (P,) of a query's right items, after its candidates are ordered anew.

    Right items among the candidates take their place there, equal scores counted against the
    model; the others keep their place behind all candidates. A right item that is a candidate only
    because others have the same score as it counts as one of the others.

    Args:
        candidates, scores: (k,), the items ordered anew, and how well they match.
        wanted: (P,), the right items.
        ranks: (P,), their ranks before, ascending.
    """
    is_right = np.isin(candidates, wanted)
    # A stable order by falling score, in which the wrong ones of a score come first.
    order = np.lexsort((is_right, -scores))
    inside = np.flatnonzero(is_right[order]) + 1
    by_luck = max(0, len(inside) - int((ranks <= len(candidates)).sum()))
    inside = inside[by_luck:]
    outside = np.maximum(ranks[len(inside) :], len(candidates) + 1)
    return np.concatenate([inside, outside]).astype(np.int64)
