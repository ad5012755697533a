"""How a captioning model is composed: media, encoded; a text decoder that fuses them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.compose import ComposedModel, forms_of
from mmbench.data.sample import Query, Sample
from mmbench.data.words import Vocabulary
from mmbench.model import Batch, Losses
from mmbench.parts import build_fusion, build_text_decoder
from mmbench.recipe import Recipe
from mmbench.yaml_file import validate
from mmbench.zoo.decoders.search import Search, write
from mmbench.zoo.fusion.base import QUERY, Form
from mmbench.zoo.matching import matching_head

NOTHING = -100  # a target where there is no word: no loss
_DRAWN = Search.model_validate({"kind": "nucleus", "top_p": 0.9})


class CaptioningModel(ComposedModel):
    """Encoders -> text decoder, whose states the fusion joins with the media at every position.

    The decoder's option `search` says how captions are written (see `Search`). A recipe without
    any encoder is a language model that looks at nothing: the floor.

    A recipe may name an encoder of texts besides, for objectives of its stages, as BLIP does: the
    media's encoders are then shared by three uses. Texts and media are projected into one space
    (`nt_xent`), and where a stage has `itm`, a fusion of a text's tokens with the media and a head
    judge whether they belong together. Writing uses neither.

    Source: Li et al., BLIP, 2022 (arXiv 2201.12086), sec. 3.1 and 3.2.

    Args:
        recipe: resolved.
        words: the vocabulary of the captions.
        longest: the most words of a caption.
    """

    answers_at_once = False

    def __init__(self, recipe: Recipe, words: list[str], longest: int) -> None:
        media = [modality for modality in recipe.encoders if modality != "text"]
        super().__init__(recipe, ["text", *media], Vocabulary(words), beside=["text"])
        contexts = [modality for modality in media if modality in self.encoders]
        assert recipe.decoder is not None  # a resolved recipe has one
        options = dict(recipe.decoder.options)
        self._search = validate(Search, options.pop("search", {}), "decoder.search")
        self.decoder = build_text_decoder(recipe, options, contexts, self.vocabulary, longest + 1)
        self.fused_contexts = tuple(contexts)
        self._longest = longest * self.decoder.pieces
        forms = forms_of(self.decoder, [QUERY, *contexts])
        if "text" in self.encoders:
            forms["text"] = self._align(recipe, contexts)
        self.reads(forms, always_pools="text" in self.encoders)
        self.count_shares(self.decoder, ["text", *contexts])

    def _align(self, recipe: Recipe, contexts: Sequence[str]) -> Form:
        """Make what objectives of the stages train besides: projections, and what matches.

        Returns: in what form texts are read.
        """
        self.project = nn.ModuleDict(
            {side: nn.Linear(recipe.width, recipe.width) for side in ("text", *contexts)}
        )
        if not any("itm" in stage.objective for stage in recipe.stages):
            return "pooled"
        self.fusion = build_fusion(recipe, contexts)
        self.matching = matching_head(recipe.width)
        return self.fusion.query_form

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

    def terms(self, batch: Batch) -> Mapping[str, Tensor | int]:
        """The words, and the end of each caption."""
        mask = batch["words_mask"]
        return {"": len(mask), "words": mask.sum() + len(mask)}

    def answer(self, batch: Batch) -> list[str]:
        """A caption per sample."""
        return self._written(batch, self._search)

    def drawn(self, batch: Batch) -> list[str]:
        """By nucleus sampling, as BLIP's captioner writes."""
        return self._written(batch, _DRAWN)

    def _written(self, batch: Batch, search: Search) -> list[str]:
        numbers = write(
            self.decoder,
            self.contexts(batch),
            len(batch["seed"]),
            longest=self._longest,
            search=search,
            seeds=batch["seed"].tolist(),
        )
        return [self.decoder.spell(row) for row in numbers]
