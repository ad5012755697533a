"""The `LateFusion` contract: fusion at the decision, of the logits of a decoder per modality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.given import mistaken, tell_failure


class LateFusion(nn.Module, ABC):
    """The logits of each modality -> the logits of all.

    For tasks whose answers are logits. A recipe names one as its `fusion`, and the task makes a
    decoder for each modality. Every late fusion keeps this contract
    (`mmbench check fusion NAME` checks it):

    - a modality that a sample lacks takes no part in its logits, and nothing becomes NaN, even
      where all are missing;
    - a class whose logit is minus infinity in every modality gets a score no higher than any other;
    - every trainable tensor is a registered parameter, and the same input gives the same output.

    Args:
        modalities: their names, in the order of the logits.

    A constructor may also take `classes`, how many there are; where each sample has choices of its
    own, their number is not known and such a fusion is refused.

    Attributes:
        auxiliary: names of the losses that it gives in training.
        family: what kind of fusion it is, a word or two: "averaging", "evidence".
        cost: formulas of what the fusion costs by itself, besides the decoders whose logits it
            joins; None where nobody has written them down.
    """

    auxiliary: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = ""
    cost: ClassVar[Cost | None] = None

    def __init__(self, modalities: Sequence[str]) -> None:
        super().__init__()
        self.modalities = tuple(modalities)

    def before_epoch(self, epoch: int, epochs: int) -> None:
        """Called before each epoch of training, for what changes in its course.

        Args:
            epoch: its number, from 0.
            epochs: how many there are.
        """

    @abstractmethod
    def forward(
        self, logits: Sequence[Tensor], present: Sequence[Tensor], target: Tensor | None = None
    ) -> Decoded:
        """Combine.

        Args:
            logits: (B, C) of each modality.
            present: (B,) bool of each, which samples have it.
            target: (B,) int64, the right classes, in training alone, for losses of its own;
                negative where there is none.
        Returns: logits (B, C), the losses, and shares (B, 1, M) where they are defined.
        """

    def __call__(
        self, logits: Sequence[Tensor], present: Sequence[Tensor], target: Tensor | None = None
    ) -> Decoded:
        """`forward`, checked.

        Raises: MMBenchError naming the fusion if it gives anything but logits of each class, or if
            one of another package fails.
        """
        due = logits[0].shape
        try:
            given = super().__call__(logits, present, target)
        except Exception as error:
            tell_failure(self, error, f"logits {tuple(due)} of {len(logits)} modalities")
            raise
        if not isinstance(given, Decoded) or given.logits.shape != due:
            raise mistaken(self, given, f"Decoded(logits), its logits {tuple(due)},")
        return given
