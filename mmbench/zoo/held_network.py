"""A part that holds a network of which all, some or nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class HoldsNetwork(nn.Module):
    """What is trained of the network is a module of the part, and what is frozen is none.

    So a frozen network is neither trained nor in a checkpoint, nor among the parameters, and it
    stays in evaluation mode whatever the part's own is.

    Attributes:
        frozen_parameters: of the network, how many are not trained.
    """

    frozen_parameters: int

    def hold(self, network: nn.Module, trained: Mapping[str, nn.Module] | None) -> None:
        """Hold a network from now on.

        Args:
            trained: by dotted name, those of its modules that are trained; None for all.
        """
        _keep_on_device(network)
        self.frozen_parameters = 0
        self._frozen: tuple[nn.Module, ...] = ()  # in a tuple it is not a module of this one
        if trained is None:
            self.network = network
            return
        network.eval().requires_grad_(False)
        self.frozen_parameters = _count(network)
        if trained:  # torch allows no dots in the name of a module
            named = {name.replace(".", "/"): module for name, module in trained.items()}
            self.trained = nn.ModuleDict(named).requires_grad_(True)
            self.frozen_parameters -= _count(self.trained)
        self._frozen = (network,)

    def network_on(self, device: torch.device) -> Any:
        """The network, on a device."""
        return self._frozen[0].to(device) if self._frozen else self.network


def _keep_on_device(network: nn.Module) -> None:
    """Make buffers of tensors that modules keep as plain attributes (fixed positions).

    Otherwise they stay on the CPU, and are copied to the device at every step.
    """
    for module in network.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor):
                delattr(module, name)
                module.register_buffer(name, value, persistent=False)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
