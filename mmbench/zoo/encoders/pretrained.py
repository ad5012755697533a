"""What the pretrained encoders share: a network, frozen or not, and a learnt projection of it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.stream import Stream


class PretrainedEncoder(Encoder):
    """The features of a pretrained network, normalised and projected to the width.

    A frozen network is neither trained nor part of a checkpoint, and it does not run for inputs
    whose features are given in their place: whoever keeps what `extract` gave saves its time.

    Args:
        dim: width D of the tokens.
        network: with its weights, in evaluation mode.
        frozen: whether it stays as it is. Otherwise it is trained with the rest.

    Attributes:
        features: F, how many features a token has.
        fingerprint: of the network's weights and of all else that decides its features.
        at_once: how many inputs run at a time on a CPU: what is fastest there.
        frozen_parameters: of the network, where it is frozen; else 0.
    """

    features: ClassVar[int]
    fingerprint: ClassVar[str]
    at_once: ClassVar[int]

    def __init__(self, dim: int, network: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.dim = dim
        self.frozen = frozen
        self.norm = nn.LayerNorm(self.features)
        self.project = nn.Linear(self.features, dim)
        if frozen:
            network.requires_grad_(False)
            self._frozen = (network,)  # in a tuple it is no module of this one
        else:
            self.network = network

    @property
    def frozen_parameters(self) -> int:
        """See the class."""
        return sum(p.numel() for p in self._frozen[0].parameters()) if self.frozen else 0

    @abstractmethod
    def run(self, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """The network's features (B, N, F) of inputs, and their mask (B, N)."""

    def extract(self, x: Tensor) -> Tensor:
        """The features of inputs, (B, N, F) float, NaN where there is no token.

        Args:
            x: what an encoder of this modality reads.
        """
        if self.frozen:
            with torch.no_grad():
                features, mask = self.run(self._frozen[0].to(x.device), x)
        else:
            features, mask = self.run(self.network, x)
        return features.masked_fill(~mask[..., None], float("nan"))

    def forward(self, x: Tensor) -> Stream:
        """See the class; x may also be the features of the inputs, as `extract` gives them."""
        features = x if x.is_floating_point() else self.extract(x)
        mask = ~features[..., 0].isnan()
        features = features.masked_fill(~mask[..., None], 0)
        return Stream(self.project(self.norm(features.to(self.project.weight.dtype))), mask)
