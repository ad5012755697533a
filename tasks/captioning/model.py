"""How a captioning model is composed: media, encoded; a text decoder that fuses them in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mmbench.compose import ComposedModel, build_fusion
from mmbench.data.sample import Sample
from mmbench.data.words import PADDING, UNKNOWN, Vocabulary
from mmbench.errors import MMBenchError
from mmbench.model import Batch
from mmbench.recipe import Recipe
from mmbench.yaml_file import validate
from mmbench.zoo.decoders.search import Search, write
from mmbench.zoo.decoders.text import TextDecoder
from mmbench.zoo.part import build_part


class CaptioningModel(ComposedModel):
    """Encoders -> text decoder, whose states the fusion joins with the media at every position.

    The decoder's option `search` says how captions are written (see `Search`). A recipe without
    any encoder is a language model that looks at nothing: the floor.

    Args:
        recipe: resolved.
        words: the vocabulary of the captions.
        longest: the most words of a caption.
    """

    def __init__(self, recipe: Recipe, words: list[str], longest: int) -> None:
        super().__init__(recipe, [m for m in recipe.encoders if m != "text"], Vocabulary(words))
        contexts = len(self.encoders)
        if bool(contexts) != bool(recipe.fusion):
            raise MMBenchError(
                "a captioning recipe needs a fusion and at least one encoder, or (a language "
                f"model) neither; it has {contexts} encoders and "
                f"{recipe.fusion.name if recipe.fusion else 'no fusion'}"
            )
        assert recipe.decoder is not None  # a resolved recipe has one
        options = dict(recipe.decoder.options)
        self._search = validate(Search, options.pop("search", {}), "decoder.search")
        self._longest = longest
        self._end = len(self.vocabulary)  # one number after the words: begins and ends a caption
        self.decoder = build_part(
            "decoders",
            recipe.decoder.name,
            options,
            dim=recipe.width,
            vocabulary=len(self.vocabulary) + 1,
            fusion=(lambda: build_fusion(recipe, contexts)) if contexts else None,
            longest=longest + 1,
        )
        if not isinstance(self.decoder, TextDecoder):
            raise MMBenchError(f"the decoder {recipe.decoder.name} writes no text")

    def collate(self, samples: Sequence[Sample], targets: bool = True) -> Batch:
        """See `TaskModel.collate`.

        Returns: see `ComposedModel.inputs`; `seed` (B,) int64 of each sample's draws; and `words`
            (B, L) int64, a caption of each sample drawn at random.
        """
        batch = self.inputs(samples)
        batch["seed"] = torch.tensor([sample.seed for sample in samples])
        if targets:
            drawn = [s.target[int(torch.randint(len(s.target), ()))] for s in samples]
            batch["words"] = torch.from_numpy(self.vocabulary.encode(drawn))[:, : self._longest]
        return batch

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy of each next word, the end included."""
        words = batch["words"]
        edge = words.new_full((len(words), 1), PADDING)
        following = torch.cat([words, edge], 1)
        length = (words != PADDING).sum(1, keepdim=True)
        following = following.scatter(1, length, self._end)
        before = torch.cat([edge + self._end, words], 1)
        logits = self.decoder(before, self.contexts(batch))
        return functional.cross_entropy(
            logits.flatten(0, 1),
            following.flatten(),
            ignore_index=PADDING,
            label_smoothing=label_smoothing,
        )

    def answer(self, batch: Batch) -> list[str]:
        """A caption per sample."""
        numbers = write(
            self.decoder,
            self.contexts(batch),
            len(batch["seed"]),
            end=self._end,
            never=(PADDING, UNKNOWN),
            longest=self._longest,
            search=self._search,
            seeds=batch["seed"].tolist(),
        )
        return [self.vocabulary.decode(row) for row in numbers]
