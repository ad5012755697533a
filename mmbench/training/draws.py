"""What a task's collation draws from: a generator of its own, or as before torch's global one.

The reference models of captioning, retrieval and generation were trained with captions drawn from
torch's global generator, which the model draws from too. Until they are trained anew (two hours),
training keeps these draws, so that their records are those of today's code; then `VERSION` of
`mmbench.training` becomes 2, batches can be made ahead, and `TorchDraws` goes.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from mmbench.training import VERSION

OWN_DRAWS = VERSION >= 2


class TorchDraws:
    """Torch's global generator, under the one method of numpy's that tasks use."""

    def integers(self, high: int) -> int:
        """A whole number from 0 to high - 1."""
        return int(torch.randint(high, ()))


def task_draws(rng: np.random.Generator) -> np.random.Generator:
    """What a task's collation draws from.

    Args:
        rng: of this seed, epoch and step.
    """
    return rng if OWN_DRAWS else cast(np.random.Generator, TorchDraws())
