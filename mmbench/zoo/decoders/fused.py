"""Where the recipe's fusion joins a decoder, and what a decoder gives besides its logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.stream import Contexts, State, Stream

MakeFusion = Callable[[], Fusion] | None


@dataclass(frozen=True)
class Decoded:
    """What a decoder gives.

    Attributes:
        logits: (B, ..., classes or words).
        losses: the fusion's auxiliary losses by name, each the mean over all calls of it.
        shares: (B, T, M), how much each modality counted, the mean over all calls of the fusion;
            None where that is not defined.
    """

    logits: Tensor
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    shares: Tensor | None = None

    @classmethod
    def of(cls, logits: Tensor, fused: Sequence[Fused]) -> Decoded:
        """The logits, and what the calls of the fusion gave."""
        shares = [call.shares for call in fused if call.shares is not None]
        return cls(logits, mean_losses(fused), torch.stack(shares).mean(0) if shares else None)


def mean_losses(fused: Sequence[Fused]) -> dict[str, Tensor]:
    """Each auxiliary loss, its mean over the calls of the fusion that gave it."""
    found: dict[str, list[Tensor]] = {}
    for call in fused:
        for name, loss in call.losses.items():
            found.setdefault(name, []).append(loss)
    return {name: torch.stack(losses).mean() for name, losses in found.items()}


def fused_beside(layers: int, dim: int, fusion: MakeFusion, causal: bool) -> nn.ModuleList:
    """For each of so many layers a `FusedStates`, or an identity where there is no fusion."""
    made = [FusedStates(dim, fusion, causal) if fusion else nn.Identity() for _ in range(layers)]
    return nn.ModuleList(made)


class FusedStates(nn.Module):
    """x + fusion(norm(x), contexts): how a decoder's states take in the context.

    Args:
        dim: width D.
        fusion: makes the recipe's fusion.
        causal: whether the decoder writes from left to right.
    Raises: ValueError for a fusion that cannot do so.
    """

    def __init__(self, dim: int, fusion: Callable[[], Fusion], causal: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fusion = fusion()
        self._causal = causal
        if causal and not self.fusion.causal:
            name = getattr(self.fusion, "class_name", type(self.fusion).__name__)
            raise ValueError(
                f"writes from left to right, and the fusion {name} cannot "
                "be causal: it would see what is yet to be written. Choose one that is, in "
                "`mmbench list fusions`"
            )

    def forward(self, x: Tensor, contexts: Contexts) -> tuple[Tensor, Fused]:
        """States (B, T, D) after the fusion of all of them at once, and what the fusion gave."""
        fused = self.fusion(Stream.whole(self.norm(x)), contexts, causal=self._causal)
        return x + fused.stream.tokens, fused

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """The fusion's state before the first position."""
        return self.fusion.begin(batch, device, contexts)

    def step(self, x: Tensor, state: State, contexts: Contexts) -> tuple[Tensor, Fused, State]:
        """The same of one more position (B, 1, D), and the state that it leads to."""
        fused, state = self.fusion.step(Stream.whole(self.norm(x)), state, contexts)
        return x + fused.stream.tokens, fused, state


def portions(state: State, count: int) -> list[State]:
    """A state in so many portions of the same number of tensors."""
    each = len(state) // max(count, 1)
    return [state[part * each : (part + 1) * each] for part in range(count)]
