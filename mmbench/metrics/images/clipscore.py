"""CLIPScore and RefCLIPScore: how well a caption and an image fit, by CLIP's embeddings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.metrics.base import FloatArray, MeanMetric
from mmbench.metrics.images.clip import checkpoint_identity, clip

CHECKPOINT = "openai/clip-vit-base-patch32"
CHECKPOINT_VARIABLE = "MMBENCH_CLIP"
PROMPT = "A photo depicts "
WEIGHT = 2.5


class CLIPScore(MeanMetric):
    """2.5 max(cos(image, caption), 0), the mean over pairs of an image and a caption.

    The pairs are generated captions with their images, or generated images with their prompts. A
    caption is read after "A photo depicts "; an empty one scores zero.

    Args:
        checkpoint: a CLIP checkpoint of transformers, a folder or a hub name; by default
            $MMBENCH_CLIP, else the ViT-B/32 of the paper.

    >>> CLIPScore("openai/clip-vit-base-patch32").signature
    'clipscore|checkpoint:openai/clip-vit-base-patch32|prompt:A photo depicts|weight:2.5|v:1'
    >>> float(clipscores(np.array([[1.0, 0.0]]), np.array([[0.6, 0.8]]))[0])
    1.5
    """

    tasks = ("generation",)
    name = "clipscore"
    title = "CLIPScore"
    bounds = (0.0, WEIGHT)
    scale = 1.0
    source = "Hessel et al. 2021 (arXiv 2104.08718), eq. 1; as jmhessel/clipscore"

    def __init__(self, checkpoint: str | None = None):
        self.checkpoint = checkpoint or os.environ.get(CHECKPOINT_VARIABLE) or CHECKPOINT

    def settings(self) -> dict[str, str]:
        """The checkpoint, what captions begin with, and the weight."""
        return {
            "checkpoint": checkpoint_identity(self.checkpoint),
            "prompt": PROMPT.strip(),
            "weight": str(WEIGHT),
        }

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """The score of each pair, (N, 1).

        Args:
            predictions: N captions, or N images.
            targets: for captions, N images, or N mappings with an `image` (and `references`,
                which are not looked at); for images, N captions. An image is a uint8 array
                (H, W, 3) or a PIL image.
        Raises: MMBenchError for other inputs, or where the checkpoint cannot be loaded.
        """
        _same_length(self.name, predictions, targets)
        if all(isinstance(p, str) for p in predictions):
            captions, images = predictions, [_image(target) for target in targets]
        elif all(isinstance(t, str) for t in targets):
            captions, images = targets, list(predictions)
        else:
            raise MMBenchError(
                f"{self.name} scores captions with their images or images with their captions, "
                f"got predictions such as a {type(predictions[0]).__name__} and targets such as "
                f"a {type(targets[0]).__name__}"
            )
        model = clip(self.checkpoint)
        scores = clipscores(model.images(images), model.captions(prompted(captions)))
        return np.where([bool(c.strip()) for c in captions], scores, 0.0)[:, None]


class RefCLIPScore(CLIPScore):
    """Harmonic mean of CLIPScore and the largest max(cos(caption, reference), 0).

    Args: as CLIPScore's.

    >>> image, caption = np.array([[1.0, 0.0]]), np.array([[0.6, 0.8]])
    >>> references = [np.array([[0.0, 1.0], [0.6, -0.8]])]
    >>> round(float(refclipscores(image, caption, references)[0]), 4)
    1.0435
    """

    name = "refclipscore"
    title = "RefCLIPScore"
    bounds = (0.0, 2 * WEIGHT / (WEIGHT + 1))
    source = "Hessel et al. 2021 (arXiv 2104.08718), eq. 2; as jmhessel/clipscore"

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """The score of each caption, (N, 1).

        Args:
            predictions: N captions.
            targets: N mappings with an `image` and `references`, one caption or more.
        Raises: MMBenchError for other inputs, or where the checkpoint cannot be loaded.
        """
        _same_length(self.name, predictions, targets)
        references = [_references(target) for target in targets]
        if not all(isinstance(p, str) for p in predictions):
            raise MMBenchError(
                f"{self.name} scores captions, got a {type(predictions[0]).__name__}"
            )
        model = clip(self.checkpoint)
        flat = model.captions(prompted([text for texts in references for text in texts]))
        ends = np.cumsum([len(texts) for texts in references])
        scores = refclipscores(
            model.images([_image(target) for target in targets]),
            model.captions(prompted(predictions)),
            np.split(flat, ends[:-1]),
        )
        return np.where([bool(c.strip()) for c in predictions], scores, 0.0)[:, None]


def clipscores(images: FloatArray, captions: FloatArray) -> FloatArray:
    """2.5 max(cos, 0) of unit embeddings, (N, D), (N, D) -> (N,)."""
    return WEIGHT * np.maximum((images * captions).sum(axis=1), 0)


def refclipscores(
    images: FloatArray, captions: FloatArray, references: Sequence[FloatArray]
) -> FloatArray:
    """The harmonic mean of `clipscores` and max(cos to the nearest reference, 0).

    Args:
        images, captions: unit embeddings (N, D).
        references: N arrays (R_i, D) of unit embeddings.
    Returns: (N,); 0 where both are 0.
    """
    seen = clipscores(images, captions)
    said = np.array([max((r @ c).max(), 0) for r, c in zip(references, captions, strict=True)])
    total = seen + said
    return np.divide(2 * seen * said, total, out=np.zeros_like(total), where=total > 0)


def prompted(captions: Sequence[str]) -> list[str]:
    """The captions as CLIP reads them."""
    return [PROMPT + caption for caption in captions]


def _same_length(name: str, predictions: Sequence[Any], targets: Sequence[Any]) -> None:
    if len(predictions) != len(targets) or len(predictions) == 0:
        raise MMBenchError(
            f"{name} needs one prediction per target, and one at least: {len(predictions)} "
            f"predictions, {len(targets)} targets"
        )


def _image(target: Any) -> Any:
    if isinstance(target, Mapping):
        if "image" not in target:
            raise MMBenchError(f"a target of CLIPScore has an 'image', got {sorted(target)}")
        return target["image"]
    return target


def _references(target: Any) -> list[str]:
    texts = target.get("references") if isinstance(target, Mapping) else None
    if isinstance(texts, str):
        texts = [texts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise MMBenchError(
            "refclipscore needs targets with an 'image' and 'references', one caption or more"
        )
    return list(texts)
