"""What a fusion costs, as formulas of its sizes that can be read and computed."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from mmbench.errors import MMBenchError


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
        Raises: MMBenchError if a formula cannot be computed.

        >>> from mmbench.zoo.fusion.concat import ConcatFusion
        >>> ConcatFusion.cost.at(ConcatFusion, dim=4, modalities=2, positions=3, tokens=5)
        (36, 128)
        """
        takes = inspect.signature(cls.__init__).parameters.values()
        defaults = {p.name: p.default for p in takes if p.default is not p.empty}
        return self.of(dim, modalities, positions, tokens, **defaults | options)

    def of(
        self, dim: int, modalities: int, positions: int, tokens: int, **options: Any
    ) -> tuple[int, int]:
        """`at`, of a fusion that need not be imported: `options` are all that the formulas name.

        >>> Cost("layers*D**2", "2*layers*D**2*T").of(4, 2, 3, 5, layers=2)
        (32, 192)
        """
        names = options | {"D": dim, "M": modalities, "T": positions, "N": tokens}
        scope = {"__builtins__": {"min": min, "max": max}}
        found = []
        for formula in (self.parameters, self.operations):
            try:
                found.append(int(eval(formula, scope, names)))
            except (ArithmeticError, NameError, SyntaxError, TypeError) as error:
                raise MMBenchError(
                    f"the formula '{formula}' of a fusion's cost cannot be computed: {error}"
                ) from error
        return found[0], found[1]
