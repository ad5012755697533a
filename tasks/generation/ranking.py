"""Ranking: of several images drawn for a prompt, which one fits it best.

Source: Ramesh et al., Zero-Shot Text-to-Image Generation (DALL-E), 2021 (arXiv 2102.12092),
sec. 2.6: candidates are ranked by a contrastive model of images and texts (CLIP).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mmbench import registry
from mmbench.checkpoint import named_weights, read_checkpoint
from mmbench.data.dataset import load_spec
from mmbench.data.media import MediaRef, MediaSet
from mmbench.data.sample import stable_number
from mmbench.errors import MMBenchError
from mmbench.model import Batch, move
from mmbench.published_checkpoint import RANKER_TASK
from mmbench.recipe import Recipe
from mmbench.yaml_file import validate
from mmbench.zoo.held_network import HoldsNetwork

_PREFIX = "ranker_"  # before the names of what it reads of the prompts, in a batch


class Ranker(HoldsNetwork):
    """A retrieval model that scores how well images fit texts: its cosines, and what a fusion adds.

    It is frozen, and no part of the model's weights. Images are brought to the size that it was
    trained on.

    Args:
        name: of its checkpoint: a path, or `scenes/dual_encoder` for shipped weights.
    Raises: MMBenchError if there is none, or it is not of texts and images.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        what = "decoder.sampling.ranked_by"
        checkpoint = read_checkpoint(named_weights(name, RANKER_TASK, what))
        task, dataset = (checkpoint.about.get(key) for key in ("task", "dataset"))
        if task != RANKER_TASK:
            raise MMBenchError(
                f"{what}: {name} was trained for {task}, and what ranks images must be trained for "
                f"{RANKER_TASK}, of texts and images"
            )
        known = {
            key: checkpoint.recipe[key] for key in Recipe.model_fields if key in checkpoint.recipe
        }
        recipe = validate(Recipe, known, str(checkpoint.path))
        try:
            with torch.random.fork_rng(devices=[]):  # it leaves the draws of training as they are
                model = registry.load("tasks", RANKER_TASK)().build(recipe, checkpoint.assets)
        except (KeyError, TypeError):
            raise MMBenchError(
                f"{what}: {name} lacks what a {RANKER_TASK} model is built from"
            ) from None
        if model.medium != "image":
            raise MMBenchError(
                f"{what}: {name} compares texts with {model.medium}, and what is drawn are images: "
                "name a retrieval checkpoint of images"
            )
        checkpoint.restore(model)
        self.hold(model, {})
        self.note = f"{name} (sha256 {checkpoint.sha256[:16]})"
        self._size = (
            load_spec(str(dataset), RANKER_TASK).image_size
            if registry.has("datasets", str(dataset))
            else None
        )

    def read(self, texts: Sequence[str]) -> Batch:
        """What `forward` needs of the prompts, to be put into a batch."""
        found: Batch = self.network_on(torch.device("cpu")).read("text", texts)
        return {f"{_PREFIX}{name}": tensor for name, tensor in found.items()}

    def forward(self, batch: Batch, images: Tensor) -> Tensor:
        """How well each image fits its prompt, (B,).

        Args:
            batch: with what `read` gave for B prompts.
            images: (B, 3, S, S) uint8.
        """
        model = self.network_on(images.device)
        given = {k.removeprefix(_PREFIX): v for k, v in batch.items() if k.startswith(_PREFIX)}
        texts, text = model.encode("text", given)
        shown = move(model.read("image", _media(resized(images, self._size))), images.device)
        media, medium = model.encode("image", shown)
        scores = (texts * media).sum(-1) * model.scale()
        if model.fusion is None:
            return scores
        own = torch.arange(len(scores), device=scores.device)[:, None]
        fused, _ = model.match(text, medium, own, own, scores[:, None])
        return fused[:, 0]


def resized(images: Tensor, size: int | None) -> Tensor:
    """Images (B, 3, S, S) uint8 with so many pixels a side; as they are if None."""
    if size is None or size == images.shape[-1]:
        return images
    found = functional.interpolate(
        images.float(), size=(size, size), mode="bicubic", antialias=True
    )
    return found.round().clamp(0, 255).to(torch.uint8)


def _media(images: Tensor) -> list[MediaRef]:
    """Images (B, 3, S, S) uint8 as samples hold them, for encoders to prepare as they do."""
    pixels = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    media = MediaSet(pixels, digest)
    return [MediaRef(media, digest, row) for row in range(len(pixels))]


def candidate_seed(seed: int, number: int) -> int:
    """The seed of a prompt's candidate: the first has the prompt's own.

    >>> candidate_seed(7, 0), candidate_seed(7, 1) == candidate_seed(7, 2)
    (7, False)
    """
    return stable_number(f"{seed}/candidate {number}") if number else seed
