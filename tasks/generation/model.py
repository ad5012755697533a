"""How a generation model is composed: the prompt, encoded; an image decoder that fuses it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmbench.compose import ComposedModel, forms_of
from mmbench.data.media import MediaRef
from mmbench.data.sample import Query, Sample
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses, pixels
from mmbench.parts import build_fusion
from mmbench.recipe import Recipe
from mmbench.yaml_file import validate
from mmbench.zoo.decoders.autoencoder import AutoencoderSettings
from mmbench.zoo.decoders.image import Sampling
from mmbench.zoo.fusion.base import QUERY
from mmbench.zoo.part import build_part

_BLOCK = 512  # images that the autoencoder reads at a time


class GenerationModel(ComposedModel):
    """Text encoder -> image decoder, whose states the fusion joins with the prompt everywhere.

    Its own loss is of what the decoder's autoencoder makes of the images, which is trained before
    (`ImageDecoder.own_stages`). The decoder's option `sampling` says how images are drawn (see
    `Sampling`), `autoencoder` what the autoencoder is like (see `AutoencoderSettings`). A recipe
    without an encoder draws images of nothing in particular: the floor.

    Args:
        recipe: resolved.
        words: the vocabulary of the captions.
    """

    answers_at_once = False

    def __init__(self, recipe: Recipe, words: list[str]) -> None:
        super().__init__(recipe, ("text",), Vocabulary(words))
        contexts = list(self.encoders)
        if bool(contexts) != bool(recipe.fusion):
            raise MMBenchError(
                "a generation recipe needs a fusion and an encoder for text, or (images of "
                f"nothing in particular) neither; it has {len(contexts)} encoders and "
                f"{recipe.fusion.name if recipe.fusion else 'no fusion'}"
            )
        assert recipe.decoder is not None  # a resolved recipe has one
        options = dict(recipe.decoder.options)
        sampling = validate(Sampling, options.pop("sampling", {}), "decoder.sampling")
        settings = options.pop("autoencoder", {})
        self.decoder = build_part(
            "decoders",
            recipe.decoder.name,
            options,
            dim=recipe.width,
            fusion=(lambda: build_fusion(recipe, contexts)) if contexts else None,
            autoencoder=validate(AutoencoderSettings, settings, "decoder.autoencoder"),
        )
        self.fused_contexts = tuple(contexts)
        self.reads(forms_of(self.decoder, [QUERY, *contexts]))
        usual = type(self.decoder).usual.model_dump()
        self._sampling = Sampling(**(usual | sampling.model_dump(exclude_unset=True)))
        self._row_of: dict[MediaRef, int] = {}
        self._found = torch.zeros(0)

    def prepare_training(self, samples: Sequence[Sample]) -> None:
        """What the autoencoder makes of the images is found once, for all samples that are used."""
        self.remember("text", (text for s in samples for text in _captions(s)))
        images = list({sample.target["image"]: None for sample in samples})
        self._row_of = {image: row for row, image in enumerate(images)}
        self.decoder.autoencoder.eval()
        device = next(self.parameters()).device
        with torch.no_grad():
            blocks = [
                self.decoder.autoencoder.encode(pixels(images[at : at + _BLOCK]).to(device)).cpu()
                for at in range(0, len(images), _BLOCK)
            ]
        self._found = torch.cat(blocks)

    def collate(self, queries: Sequence[Query]) -> Batch:
        """Returns: see `ComposedModel.inputs`; and `seed` (B,) int64 of each query's draws."""
        return self.inputs(queries) | {"seed": torch.tensor([query.seed for query in queries])}

    def collate_training(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """A caption of each sample is drawn as its prompt.

        Returns: see `ComposedModel.inputs`; and `found` (B, ...), what stands for the images.
        """
        found = self._found[[self._row_of[sample.target["image"]] for sample in samples]]
        return self.inputs([_of_any_caption(s, rng) for s in samples]) | {"found": found}

    def losses(self, batch: Batch, label_smoothing: float = 0.0) -> Losses:
        """The decoder's loss of what stands for the images."""
        loss, losses = self.decoder.loss(batch["found"], self.contexts(batch))
        return self.weighed({"image": loss}, losses)

    def answer(self, batch: Batch) -> list[Any]:
        """An image per sample, (S, S, 3) uint8."""
        seeds = batch["seed"].tolist()
        drawn = self.decoder.draw(self.contexts(batch), seeds, self._sampling)
        return list(self.decoder.autoencoder.decode(drawn).permute(0, 2, 3, 1).cpu().numpy())


def _captions(sample: Sample) -> list[str]:
    """The captions of a sample's image, of which its prompt is one."""
    captions: list[str] = sample.target["captions"]
    return captions


def _of_any_caption(sample: Sample, rng: np.random.Generator) -> Query:
    """The sample's query with one of its image's captions, drawn at random, as its prompt."""
    captions = _captions(sample)
    return Query(sample.id, {"text": captions[rng.integers(len(captions))]})
