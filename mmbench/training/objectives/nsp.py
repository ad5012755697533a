"""Next sentence prediction: whether a text is the one that follows another.

Source: Devlin et al., BERT, 2019 (arXiv 1810.04805), sec. 3.1, task 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses, TaskModel
from mmbench.recipe import Recipe
from mmbench.training.objectives.base import Mean, Objective, encoder_facts
from mmbench.training.objectives.content import all_of, by_group
from mmbench.training.objectives.texts import text_encoder_of
from mmbench.zoo.precision import in_float32


class NSP(Objective):
    """L = -y log p - (1 - y) log (1 - p), p = sigma(w^T tanh(W h)), of pairs of texts.

    The two are read as one text, whose pooled tokens are h (BERT's are those of the first token:
    `pooling: first`). A document is a group: what follows a caption is the next caption of its
    image. Half of the second texts follow (y = 1), the others are of another group of the batch.
    """

    reaches = ("encoders.text",)

    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        width = text_encoder_of(model, "nsp").dim
        self.head = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def check(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        all_of(samples, "text")
        groups = by_group(samples, "text")
        if len(groups) < 2 or all(len(texts) < 2 for texts in groups.values()):
            raise MMBenchError(
                "nsp needs groups with two texts each, such as several captions of an image, and "
                "the data have none"
            )

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """Returns: a pair for each text that another follows: `text`, `text_mask` (B, L), and
        `target` (B,) float32, 1 where the second follows.
        """
        groups = list(by_group(samples, "text").values())
        pairs: list[tuple[str, str, float]] = []
        for place, texts in enumerate(groups):
            for first, following in pairwise(texts):
                follows = bool(rng.random() < 0.5) or len(groups) < 2
                others = groups[(place + 1 + rng.integers(max(1, len(groups) - 1))) % len(groups)]
                second = following if follows else others[rng.integers(len(others))]
                pairs.append((first, second, float(follows)))
        if not pairs:  # a batch of groups with a text each: nothing is asked
            pairs.append((groups[0][0], groups[0][0], float("nan")))
        firsts, seconds, target = zip(*pairs, strict=True)
        numbers, mask = text_encoder_of(model, "nsp").read_pairs(firsts, seconds)
        there = torch.ones_like(numbers, dtype=torch.bool) if mask is None else mask
        return {"text": numbers, "text_mask": there, "target": torch.tensor(target)}

    def logits(self, model: TaskModel, batch: Batch) -> Tensor:
        """Of the second text's following the first, (B,)."""
        encoder = text_encoder_of(model, "nsp")
        pooled = encoder.pool(encoder(batch["text"], batch["text_mask"]))
        logits: Tensor = self.head(pooled)[:, 0]
        return logits

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """Cross-entropy of what follows."""
        return {"follows": follows_loss(self.logits(model, batch), batch["target"])}

    def measured(self, model: TaskModel, batch: Batch) -> Mapping[str, Mean]:
        """The share of pairs that it is right about."""
        target = batch["target"]
        right = (self.logits(model, batch) > 0) == (target > 0.5)
        known = ~target.isnan()
        return {"accuracy": Mean((right & known).sum(), known.sum())}

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any]:
        """It reads the text encoder alone, pooled."""
        return encoder_facts(model, recipe, "text")


def follows_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The mean cross-entropy of (B,) logits, in float32 or float64; a NaN target is not asked."""
    with in_float32(logits.device):
        z = logits if logits.dtype == torch.float64 else logits.float()
        known = ~target.isnan()
        losses = functional.binary_cross_entropy_with_logits(
            z, target.nan_to_num().to(z.dtype), reduction="none"
        )
        return (losses * known).sum() / known.sum().clamp(min=1)
