"""MoCo v2: a view of an image is found, among many of other images, by a slower copy of itself.

Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, 2020 (arXiv
1911.05722), eq. 1-2 and algorithm 1; Chen et al., Improved Baselines with Momentum Contrastive
Learning (MoCo v2), 2020 (arXiv 2003.04297): the head of two layers, the blur, tau = 0.2. The copy's
norms: Cai et al., Exponential Moving Average Normalization, 2021 (arXiv 2101.08482), eq. 3-4.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.model import Batch, Losses, TaskModel
from mmbench.training.objectives.base import encoder_of
from mmbench.training.objectives.images import Augmentation
from mmbench.training.objectives.views import ViewObjective, projection_head, views_of
from mmbench.zoo.precision import in_float32


class MoCo(ViewObjective):
    """l(q) = -log exp(q . k_+ / tau) / (exp(q . k_+ / tau) + sum_i exp(q . k_i / tau)), k_i queued.

    q is one view by the encoder and a head of two layers; k_+ the other view by a copy of both,
    which gets no gradient: theta_k <- m theta_k + (1 - m) theta_q after each step. The queue holds
    the keys of the last batches, and random ones before these. Copy and queue are kept while a
    stage is resumed, and thrown away after it.

    The paper shuffles a batch over GPUs, so that the statistics of a norm do not tell which key
    belongs to which query; here the copy's norms use the average of the encoder's, which tell
    nothing of a batch.

    Args:
        temperature: tau.
        features: of q and k.
        queue: K, how many keys it holds; at least as many as a batch has images.
        momentum: m; a short training needs less than the paper's 0.999.
        strength: of the colour distortion; 0 leaves colours as they are.
        crop: the smallest share of an image that a view keeps.
        grey, blur: the shares of the views that are made grey, and blurred.
    """

    added_with = {
        "temperature": 0.2,
        "features": 128,
        "queue": 4096,
        "momentum": 0.999,
        "strength": 0.5,
        "crop": 0.2,
        "grey": 0.2,
        "blur": 0.5,
    }
    queue: Tensor
    place: Tensor

    def __init__(
        self,
        model: TaskModel,
        temperature: float = 0.2,
        features: int = 128,
        queue: int = 4096,
        momentum: float = 0.999,
        strength: float = 0.5,
        crop: float = 0.2,
        grey: float = 0.2,
        blur: float = 0.5,
    ) -> None:
        super().__init__(Augmentation(crop, strength, grey, blur))
        if temperature <= 0 or features < 1 or queue < 1:
            raise ValueError(
                "temperature, features and queue must be positive, got "
                f"{temperature}, {features} and {queue}"
            )
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {momentum}")
        encoder = encoder_of(model, "image", "moco")
        self._temperature, self._momentum = temperature, momentum
        self.head = projection_head(encoder.dim, features)
        self.copy = nn.ModuleList([copy.deepcopy(encoder), copy.deepcopy(self.head)])
        self.copy.requires_grad_(False).eval()
        self.register_buffer("queue", functional.normalize(torch.randn(queue, features), dim=-1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self._latest: Tensor | None = None

    def train(self, mode: bool = True) -> MoCo:
        """The copy stays in evaluation mode: its norms follow the encoder's, not a batch."""
        super().train(mode)
        self.copy.eval()
        return self

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """InfoNCE of each image's two views among the queue."""
        asking, asked = views_of(batch).chunk(2)
        queries = self.head(encoder_of(model, "image", "moco")(asking).pool())
        keys = self.keys(asked)
        if self.training:
            self._latest = keys
        loss = info_nce(queries, keys, self.queue, self._temperature)
        return {"info_nce": loss}

    @torch.no_grad()
    def keys(self, views: Tensor) -> Tensor:
        """The copy's keys (U, F) of views, of length 1, in float32."""
        encoder, head = self.copy
        found = head(encoder(views).pool())
        with in_float32(found.device):
            return functional.normalize(found.float(), dim=-1)

    @torch.no_grad()
    def after_step(self, model: TaskModel) -> None:
        """The copy follows, and the step's keys take the place of the oldest in the queue."""
        encoder = encoder_of(model, "image", "moco")
        for slow, fast in zip(self.copy, (encoder, self.head), strict=True):
            follow(slow, fast, self._momentum)
        assert self._latest is not None  # of the step's losses
        keys = self._latest[: len(self.queue)].to(self.queue.dtype)
        self._latest = None
        places = (self.place + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue.index_copy_(0, places, keys)
        self.place.copy_((self.place + len(keys)) % len(self.queue))


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """MoCo's eq. 1, averaged over queries, in float32 or float64.

    Args:
        queries: (N, F), of any length.
        keys: (N, F), of length 1: the right one of each.
        queue: (K, F), of length 1: wrong ones for all.
        temperature: tau.
    """
    with in_float32(queries.device):
        q = queries if queries.dtype == torch.float64 else queries.float()
        q = functional.normalize(q, dim=-1)
        right = (q * keys).sum(-1, keepdim=True)
        logits = torch.cat([right, q @ queue.T], 1) / temperature
        target = torch.zeros(len(q), dtype=torch.int64, device=q.device)
        return functional.cross_entropy(logits, target)


def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """slow <- m slow + (1 - m) fast, of all parameters and of what norms have counted."""
    for ours, theirs in zip(
        [*slow.parameters(), *slow.buffers()], [*fast.parameters(), *fast.buffers()], strict=True
    ):
        if ours.is_floating_point():
            ours.lerp_(theirs.detach(), 1 - momentum)
        else:
            ours.copy_(theirs)
