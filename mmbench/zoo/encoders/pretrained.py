"""What the pretrained encoders share: a network, frozen or not, and a learnt projection of it."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.held_network import HoldsNetwork
from mmbench.zoo.stream import Stream
from mmbench.zoo.transformers_network import check_unfreeze, unfrozen

_MOST_SHARED = 4  # frozen networks that a process keeps for the next model that has them


class _Frozen(NamedTuple):
    """A frozen network as it runs; the fingerprint and the parameters of what it was before."""

    network: nn.Module
    fingerprint: str
    parameters: int


_shared: OrderedDict[Hashable, _Frozen] = OrderedDict()


class PretrainedEncoder(HoldsNetwork, Encoder):
    """The features of a pretrained network, normalised and projected to the width.

    A frozen network does not run for inputs whose features are known: whoever keeps what `extract`
    or `extract_pooled` gave hands it to `of_features` or `of_pooled` and saves its time.

    Args:
        dim: width D of the tokens.
        network: with its weights; or what makes it, and the file that its weights are from: then
            all encoders of a process that have it frozen, with the same settings, share one.
        features: F, how many features a token has.
        frozen: whether the network stays as it is. Otherwise it is trained with the rest.
        settings: all that decides the features besides the network's weights: which of its layers
            they are of, at what resolution.
        trained: of a network that is not frozen, by name, those of its modules that are trained;
            None for all.

    Attributes:
        version: raised when what `run` does with the same weights and settings changes.
        at_once: how many inputs run at a time on a CPU: what is fastest there.
        fingerprint: of the weights of this network and of all else that decides its features.
    """

    version: ClassVar[int] = 1
    at_once: ClassVar[int] = 1

    def __init__(
        self,
        dim: int,
        network: nn.Module | tuple[Callable[[], nn.Module], Path],
        features: int,
        frozen: bool,
        settings: Mapping[str, Any],
        trained: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.features = features
        self.frozen = frozen
        self.norm = nn.LayerNorm(features)
        self.project = nn.Linear(features, dim)
        if not frozen:
            self.fingerprint = ""
            self.hold(network if isinstance(network, nn.Module) else network[0](), trained)
            return
        if isinstance(network, nn.Module):
            self._hold_frozen(self._freeze(network, settings))
            return
        make, file = network
        known = file.stat()
        key = (type(self), tuple(settings.items()), file, known.st_size, known.st_mtime_ns)
        if key not in _shared:
            _shared[key] = self._freeze(make(), settings)
            if len(_shared) > _MOST_SHARED:
                _shared.popitem(last=False)
        _shared.move_to_end(key)
        self._hold_frozen(_shared[key])

    def _freeze(self, network: nn.Module, settings: Mapping[str, Any]) -> _Frozen:
        fingerprint = self._fingerprint(network, settings)
        self.hold(network, {})
        return _Frozen(self.fastest(network), fingerprint, self.frozen_parameters)

    def _hold_frozen(self, frozen: _Frozen) -> None:
        self._frozen = (frozen.network,)
        self.fingerprint = frozen.fingerprint
        self.frozen_parameters = frozen.parameters

    def _fingerprint(self, network: nn.Module, settings: Mapping[str, Any]) -> str:
        known = {"encoder": type(self).__qualname__, "version": self.version, **settings}
        content = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
        for name, tensor in sorted(network.state_dict().items()):
            content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            content.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return f"{type(self).__name__.lower()}-{content.hexdigest()[:24]}"

    def fastest(self, network: nn.Module) -> nn.Module:
        """A network that gives the same features sooner, of one that will never be trained."""
        return network

    @abstractmethod
    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The network's features (B, N, F) of inputs, and their mask (B, N)."""

    def extract(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        """The features of inputs, (B, N, F).

        Args:
            x, mask: as `read` gives them.
        """
        network = self.network_on(x.device)
        if not self.frozen:
            return Stream(*self.run(network, x, mask))
        with torch.no_grad():
            return Stream(*self.run(network, x, mask))

    def extract_pooled(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The features of inputs, each token normalised, then pooled: (B, F) float32.

        Only where the pooling commutes with what follows, the norm's weights and the projection.
        """
        found = self.extract(x, mask)
        fixed = functional.layer_norm(found.clean().float(), (self.features,), eps=self.norm.eps)
        return self.pool(Stream(fixed, found.mask))

    def of_features(self, features: Tensor, mask: Tensor) -> Stream:
        """The stream (B, N, D) of what `extract` gave."""
        kept = features.to(self.project.weight.dtype).masked_fill(~mask[..., None], 0)
        return Stream(self.project(self.norm(kept)), mask)

    def of_pooled(self, features: Tensor) -> Stream:
        """The pooled stream (B, 1, D) of what `extract_pooled` gave (B, F)."""
        scaled = torch.addcmul(self.norm.bias, features, self.norm.weight)
        return Stream.whole(self.project(scaled)[:, None])

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        found = self.extract(x, mask)
        return self.of_features(found.tokens, found.mask)


class PackagedEncoder(PretrainedEncoder):
    """One whose weights come as a Python package: frozen, trained, or trained in part.

    Args:
        dim: width D of the tokens.
        network: makes it, with its weights.
        file: that these are from.
        features: F, how many features a token has.
        frozen: whether the network stays as it is, but for what `unfreeze` says.
        unfreeze: of one that is frozen, what is trained all the same: "none", "all", or "last_2":
            its last two layers and what follows them.
        settings: see `PretrainedEncoder`.
    """

    def __init__(
        self,
        dim: int,
        network: Callable[[], nn.Module],
        file: Path,
        features: int,
        frozen: bool,
        unfreeze: str,
        settings: Mapping[str, Any],
    ) -> None:
        check_unfreeze(unfreeze)
        if not frozen and unfreeze != "none":
            raise ValueError(
                f"`frozen: false` trains all of the network: leave `unfreeze: {unfreeze}` out"
            )
        unfreeze = unfreeze if frozen else "all"
        if unfreeze == "none":
            super().__init__(dim, (network, file), features, True, settings)
            return
        made = network()
        super().__init__(dim, made, features, False, settings, unfrozen(made, unfreeze))
