"""Inputs that are not there.

Source: Ma et al., SMIL: Multimodal learning with severely missing modality, AAAI 2021
(arXiv 2103.05677), whose rates of missing samples this follows.
"""

from __future__ import annotations

from mmbench.corruptions.base import Corruption


class Missing(Corruption):
    """A share of the samples lacks the modality; at 1 all do.

    A modality that a fusion joins to its query takes no part. The query itself, at whose positions
    the fusion writes, becomes one position of zeros, which says nothing.
    """

    modalities = ("image", "video", "audio", "text")
    amounts = (0.25, 0.5, 0.75, 1.0)
    unit = "share of the samples"

    def missing(self, amount: float, seed: int) -> bool:
        return seed < amount * 2**48
