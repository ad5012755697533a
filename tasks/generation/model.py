"""How a generation model is composed: the prompt, encoded; an image decoder that fuses it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.compose import ComposedModel, build_fusion
from mmbench.data.media import MediaRef
from mmbench.data.sample import Sample
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Stage
from mmbench.recipe import Recipe
from mmbench.yaml_file import validate
from mmbench.zoo.decoders.autoencoder import AutoencoderSettings
from mmbench.zoo.decoders.image import Sampling
from mmbench.zoo.part import build_part

_BLOCK = 512  # images that the autoencoder reads at a time


class GenerationModel(ComposedModel):
    """Text encoder -> image decoder, whose states the fusion joins with the prompt everywhere.

    It is trained in two stages: the decoder's autoencoder on the images alone, once for all runs
    that have the same one; then the rest on what the autoencoder makes of the images. The decoder's
    option `sampling` says how images are drawn (see `Sampling`), `autoencoder` what the
    autoencoder is like (see `AutoencoderSettings`). A recipe without an encoder draws images of
    nothing in particular: the floor.

    Args:
        recipe: resolved.
        words: the vocabulary of the captions.
    """

    def __init__(self, recipe: Recipe, words: list[str]) -> None:
        super().__init__(recipe, ("text",), Vocabulary(words))
        contexts = len(self.encoders)
        if bool(contexts) != bool(recipe.fusion):
            raise MMBenchError(
                "a generation recipe needs a fusion and an encoder for text, or (images of "
                f"nothing in particular) neither; it has {contexts} encoders and "
                f"{recipe.fusion.name if recipe.fusion else 'no fusion'}"
            )
        assert recipe.decoder is not None  # a resolved recipe has one
        options = dict(recipe.decoder.options)
        sampling = validate(Sampling, options.pop("sampling", {}), "decoder.sampling")
        settings = options.pop("autoencoder", {})
        self._autoencoder = validate(AutoencoderSettings, settings, "decoder.autoencoder")
        self._decoder = {"name": recipe.decoder.name, "size": options.get("size")}
        self.decoder = build_part(
            "decoders",
            recipe.decoder.name,
            options,
            dim=recipe.width,
            fusion=(lambda: build_fusion(recipe, contexts)) if contexts else None,
            autoencoder=self._autoencoder,
        )
        usual = type(self.decoder).usual.model_dump()
        self._sampling = Sampling(**(usual | sampling.model_dump(exclude_unset=True)))
        self._row_of: dict[MediaRef, int] = {}
        self._found = torch.zeros(0)

    def stages(self) -> list[Stage]:
        """The autoencoder, then the rest."""
        settings = self._autoencoder
        train = {"epochs": settings.epochs, "batch": settings.batch, "lr": settings.lr}
        shared = self._decoder | settings.model_dump()
        return [
            Stage("autoencoder", "decoder.autoencoder", train | {"label_smoothing": 0.0}, shared),
            Stage("decoder"),
        ]

    def prepare(self, samples: Sequence[Sample]) -> None:
        """In the second stage, what the autoencoder makes of the images is found once."""
        if self.stage != "autoencoder":
            self.remember("text", (text for s in samples for text in _captions(s)))
        if self.stage != "decoder":
            return
        images = {sample.target["image"]: None for sample in samples}
        new = [image for image in images if image not in self._row_of]
        if not new:
            return
        self.decoder.autoencoder.eval()
        device = next(self.parameters()).device
        blocks = [] if not self._row_of else [self._found]
        with torch.no_grad():
            for start in range(0, len(new), _BLOCK):
                pixels = self._pixels(new[start : start + _BLOCK]).to(device)
                blocks.append(self.decoder.autoencoder.encode(pixels).cpu())
        self._row_of |= {image: row for row, image in enumerate(new, len(self._row_of))}
        self._found = torch.cat(blocks)

    def collate(self, samples: Sequence[Sample], targets: bool = True) -> Batch:
        """See `TaskModel.collate`.

        Returns: see `ComposedModel.inputs`, in training of a caption of each sample drawn at
            random; `seed` (B,) int64 of each sample's draws; and with targets `image`
            (B, 3, S, S) uint8 for the first stage, `found` (B, ...) for the second.
        """
        batch: Batch = {"seed": torch.tensor([sample.seed for sample in samples])}
        images = [sample.target["image"] for sample in samples] if targets else []
        if targets and self.stage == "autoencoder":
            return batch | {"image": self._pixels(images)}
        if targets:
            batch["found"] = self._found[[self._row_of[image] for image in images]]
            samples = [_of_any_caption(sample) for sample in samples]
        return batch | self.inputs(samples)

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
        """The loss of the stage: of the autoencoder, or of the rest."""
        if self.stage == "autoencoder":
            return self.decoder.autoencoder.loss(batch["image"])
        return self.decoder.loss(batch["found"], self.contexts(batch))

    def answer(self, batch: Batch) -> list[Any]:
        """An image per sample, (S, S, 3) uint8."""
        seeds = batch["seed"].tolist()
        drawn = self.decoder.draw(self.contexts(batch), seeds, self._sampling)
        return list(self.decoder.autoencoder.decode(drawn).permute(0, 2, 3, 1).cpu().numpy())

    @staticmethod
    def _pixels(images: Sequence[MediaRef]) -> Tensor:
        stacked = np.stack([image.array() for image in images])
        return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def _captions(sample: Sample) -> list[str]:
    """The captions of a sample's image, of which its prompt is one."""
    captions: list[str] = sample.target["captions"]
    return captions


def _of_any_caption(sample: Sample) -> Sample:
    """The sample with one of its image's captions, drawn at random, as its prompt."""
    captions = _captions(sample)
    text = captions[int(torch.randint(len(captions), ()))]
    return Sample(sample.id, {"text": text}, sample.target, sample.group)
