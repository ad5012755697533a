"""What a fusion costs, as formulas of its sizes that can be read and computed."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """Formulas, in Python's arithmetic.

    They may name D (the width), M (modalities, the query among them), T (positions of the query),
    N (tokens of each context), and each option of the fusion's constructor.

    Attributes:
        parameters: how many it has.
        operations: floating-point operations of matrix products for one sample, a multiply-add
            counting two; of norms, activations and sums none.
    """

    parameters: str
    operations: str

    def at(
        self, cls: type[Any], dim: int, modalities: int, positions: int, tokens: int, **options: Any
    ) -> tuple[int, int]:
        """Parameters and operations at these sizes.

        Args:
            cls: the fusion, whose constructor's defaults are taken for options not given.
            dim: D.
            modalities: M.
            positions: T.
            tokens: N.
            options: of the fusion's constructor.

        >>> from mmbench.zoo.fusion.concat import ConcatFusion
        >>> ConcatFusion.cost.at(ConcatFusion, dim=4, modalities=2, positions=3, tokens=5)
        (36, 128)
        """
        takes = inspect.signature(cls.__init__).parameters.values()
        names = {p.name: p.default for p in takes if p.default is not p.empty} | options
        names |= {"D": dim, "M": modalities, "T": positions, "N": tokens}
        scope = {"__builtins__": {"min": min, "max": max}}
        parameters, operations = (eval(f, scope, names) for f in (self.parameters, self.operations))
        return int(parameters), int(operations)
