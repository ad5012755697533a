"""How a generation model is composed: the prompt, encoded; an image decoder that fuses it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench import registry
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
from mmbench.zoo.decoders.image import ImageDecoder, Sampling
from mmbench.zoo.encoders.base import WordEncoder
from mmbench.zoo.fusion.base import QUERY
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Contexts
from mmbench_tasks.generation.ranking import Ranker, candidate_seed

_BLOCK = 512  # images that the autoencoder reads at a time


class GenerationModel(ComposedModel):
    """Text encoder -> image decoder, whose states the fusion joins with the prompt everywhere.

    A decoder that joins the prompt itself (`dalle`) stands in the place of a fusion. The model's
    own loss is of what the decoder's autoencoder makes of the images, which is trained before
    (`ImageDecoder.own_stages`). The decoder's option `sampling` says how images are drawn (see
    `Sampling`) and which of several is the answer (see `Ranker`), `autoencoder` what the
    autoencoder is like (see `AutoencoderSettings`). A recipe without an encoder draws images of
    nothing in particular: the floor.

    Args:
        recipe: resolved.
        words: the vocabulary of the captions.
    """

    answers_at_once = False

    def __init__(self, recipe: Recipe, words: list[str]) -> None:
        super().__init__(recipe, ("text",), Vocabulary(words))
        contexts = list(self.encoders)
        assert recipe.decoder is not None  # a resolved recipe has one
        name = recipe.decoder.name
        kind = registry.load("decoders", name)
        self._check_parts(recipe, contexts, kind)
        options = dict(recipe.decoder.options)
        sampling = validate(Sampling, options.pop("sampling", {}), "decoder.sampling")
        settings = options.pop("autoencoder", {})
        self.decoder = build_part(
            "decoders",
            name,
            options,
            dim=recipe.width,
            vocabulary=self.vocabulary,
            fusion=(lambda: build_fusion(recipe, contexts)) if contexts else None,
            autoencoder=validate(AutoencoderSettings, settings, "decoder.autoencoder"),
        )
        self.fused_contexts = tuple(contexts)
        self.reads(forms_of(self.decoder, [QUERY, *contexts]))
        usual = kind.usual.model_dump()
        self._sampling = Sampling(**(usual | sampling.model_dump(exclude_unset=True)))
        if contexts and self._sampling.guidance != 1 and self.decoder.unprompted == 0:
            raise MMBenchError(
                f"decoder.sampling.guidance: {self._sampling.guidance:g} follows the difference "
                f"that a prompt makes, and this {name} never learns what is drawn without one "
                "(unprompted: 0): leave guidance at 1, or train it with unprompted: 0.1"
            )
        ranked_by = self._sampling.ranked_by
        self.ranker = None if ranked_by is None else Ranker(ranked_by)
        self._row_of: dict[MediaRef, int] = {}
        self._found = torch.zeros(0)

    def _check_parts(
        self, recipe: Recipe, contexts: Sequence[str], kind: type[ImageDecoder]
    ) -> None:
        """Raise MMBenchError for encoders, fusion and decoder that cannot stand together."""
        assert recipe.decoder is not None
        has = f"it has {len(contexts)} encoders and " + (
            f"the fusion {recipe.fusion.name}" if recipe.fusion else "no fusion"
        )
        if getattr(kind, "reads_tokens", False):
            if not contexts or recipe.fusion:
                raise MMBenchError(
                    f"the decoder {recipe.decoder.name} joins the prompt itself: a recipe with it "
                    f"needs an encoder for text and no fusion; {has}"
                )
        elif bool(contexts) != bool(recipe.fusion):
            raise MMBenchError(
                "a generation recipe needs a fusion and an encoder for text, or (images of "
                f"nothing in particular) neither; {has}"
            )
        if getattr(kind, "predicts_words", False):
            encoder = self.encoder("text")
            if not isinstance(encoder, WordEncoder) or encoder.causal is False:
                raise MMBenchError(
                    f"the decoder {recipe.decoder.name} predicts the prompt word by word, so that "
                    "its text encoder must read the task's words and see none ahead: choose "
                    "bag_of_words"
                )

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
        """Returns: see `ComposedModel.inputs`; `seed` (B,) int64 of each query's draws; and what
        the ranker reads.
        """
        batch = self.inputs(queries) | {"seed": torch.tensor([query.seed for query in queries])}
        if self.ranker is not None:
            batch |= self.ranker.read([query.inputs["text"] for query in queries])
        return batch

    def collate_training(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """A caption of each sample is drawn as its prompt.

        Returns: see `ComposedModel.inputs`; and `found` (B, ...), what stands for the images.
        """
        found = self._found[[self._row_of[sample.target["image"]] for sample in samples]]
        return self.inputs([_of_any_caption(s, rng) for s in samples]) | {"found": found}

    def losses(self, batch: Batch, label_smoothing: float = 0.0) -> Losses:
        """The decoder's loss of what stands for the images."""
        words = {"words": batch["text"][batch["text_rows"]]} if self.decoder.predicts_words else {}
        loss, losses = self.decoder.loss(batch["found"], self.contexts(batch), **words)
        return self.weighed({"image": loss}, losses)

    def answer(self, batch: Batch) -> list[Any]:
        """An image per sample, (S, S, 3) uint8: of its candidates the one that ranks first.

        Where the text is missing the ranker, too, knows nothing of it: the first is taken.
        """
        contexts = self.contexts(batch)
        seeds = batch["seed"].tolist()
        images = self._drawn(contexts, seeds)
        if self.ranker is not None and "text_missing" not in batch:
            best = self.ranker(batch, images)
            for number in range(1, self._sampling.candidates):
                others = self._drawn(contexts, [candidate_seed(seed, number) for seed in seeds])
                scores = self.ranker(batch, others)
                better = scores > best
                best = torch.where(better, scores, best)
                images = torch.where(better[:, None, None, None], others, images)
        return list(images.permute(0, 2, 3, 1).cpu().numpy())

    def _drawn(self, contexts: Contexts, seeds: Sequence[int]) -> Tensor:
        """Images (B, 3, S, S) uint8, each of its own seed."""
        drawn = self.decoder.draw(contexts, seeds, self._sampling)
        images: Tensor = self.decoder.autoencoder.decode(drawn)
        return images

    def notes(self) -> list[str]:
        """And what ranked the candidates."""
        ranked = (
            [f"each image is the best of {self._sampling.candidates}, ranked by {self.ranker.note}"]
            if self.ranker is not None
            else []
        )
        return super().notes() + ranked


def _captions(sample: Sample) -> list[str]:
    """The captions of a sample's image, of which its prompt is one."""
    captions: list[str] = sample.target["captions"]
    return captions


def _of_any_caption(sample: Sample, rng: np.random.Generator) -> Query:
    """The sample's query with one of its image's captions, drawn at random, as its prompt."""
    captions = _captions(sample)
    return Query(sample.id, {"text": captions[rng.integers(len(captions))]})
