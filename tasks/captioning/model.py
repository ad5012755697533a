"""How a captioning model is composed: media, encoded; a text decoder that fuses them in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from mmbench.compose import ComposedModel, forms_of
from mmbench.data.sample import Query, Sample
from mmbench.data.words import Vocabulary
from mmbench.model import Batch, Losses
from mmbench.parts import build_text_decoder
from mmbench.recipe import Recipe
from mmbench.yaml_file import validate
from mmbench.zoo.decoders.search import Search, write
from mmbench.zoo.fusion.base import QUERY

NOTHING = -100  # a target where there is no word: no loss


class CaptioningModel(ComposedModel):
    """Encoders -> text decoder, whose states the fusion joins with the media at every position.

    The decoder's option `search` says how captions are written (see `Search`). A recipe without
    any encoder is a language model that looks at nothing: the floor.

    Args:
        recipe: resolved.
        words: the vocabulary of the captions.
        longest: the most words of a caption.
    """

    answers_at_once = False

    def __init__(self, recipe: Recipe, words: list[str], longest: int) -> None:
        super().__init__(recipe, [m for m in recipe.encoders if m != "text"], Vocabulary(words))
        contexts = list(self.encoders)
        assert recipe.decoder is not None  # a resolved recipe has one
        options = dict(recipe.decoder.options)
        self._search = validate(Search, options.pop("search", {}), "decoder.search")
        self.decoder = build_text_decoder(recipe, options, contexts, self.vocabulary, longest + 1)
        self.fused_contexts = tuple(contexts)
        self._longest = longest * self.decoder.pieces
        self.reads(forms_of(self.decoder, [QUERY, *contexts]))
        self.count_shares(self.decoder, ["text", *contexts])

    def collate(self, queries: Sequence[Query]) -> Batch:
        """Returns: see `ComposedModel.inputs`; and `seed` (B,) int64 of each query's draws."""
        seeds = torch.tensor([query.seed for query in queries])
        return self.inputs(queries) | {"seed": seeds}

    def collate_training(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """A caption of each sample is drawn.

        Returns: see `ComposedModel.inputs`; and `words` (B, L) of the caption, with `words_mask`.
        """
        drawn = [sample.target[rng.integers(len(sample.target))] for sample in samples]
        words, mask = self.decoder.read(drawn, self._longest)
        return self.inputs(samples) | {"words": words, "words_mask": mask}

    def losses(self, batch: Batch, label_smoothing: float = 0.0) -> Losses:
        """Cross-entropy of each next word, the end included."""
        words, mask = batch["words"], batch["words_mask"]
        edge = words.new_full((len(words), 1), self.decoder.end)
        known = words.masked_fill(~mask, NOTHING)
        following = torch.cat([known, torch.full_like(edge, NOTHING)], 1)
        following = following.scatter(1, mask.sum(1, keepdim=True), self.decoder.end)
        decoded = self.decoder(torch.cat([edge, words], 1), self.contexts(batch))
        loss = functional.cross_entropy(
            decoded.logits.flatten(0, 1).float(),
            following.flatten(),
            ignore_index=NOTHING,
            label_smoothing=label_smoothing,
        )
        return self.weighed({"words": loss}, decoded.losses)

    def answer(self, batch: Batch) -> list[str]:
        """A caption per sample."""
        numbers = write(
            self.decoder,
            self.contexts(batch),
            len(batch["seed"]),
            longest=self._longest,
            search=self._search,
            seeds=batch["seed"].tolist(),
        )
        return [self.decoder.spell(row) for row in numbers]
