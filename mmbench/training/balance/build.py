"""Makes the balancing method that a recipe names, or says why its model cannot be balanced."""

from __future__ import annotations

from mmbench.errors import MMBenchError
from mmbench.model import TaskModel
from mmbench.recipe import Part
from mmbench.training.balance.base import Balance
from mmbench.zoo.part import build_part


def build_balance(part: Part, model: TaskModel) -> Balance:
    """The recipe's balancing method for a model.

    Raises: MMBenchError for an unknown one, a model that does not decide among classes, or one of
        a single modality.
    """
    if type(model).decide is TaskModel.decide:
        raise MMBenchError(
            f"balance: {part.name} balances modalities that each decide among classes by "
            "themselves, which this task does not ask for: drop the recipe's balance"
        )
    if not model.fused_contexts:
        raise MMBenchError(
            f"balance: {part.name} has nothing to balance in a model of one modality: drop the "
            "recipe's balance"
        )
    method = build_part("balance", part.name, part.options, model=model)
    if not isinstance(method, Balance):
        raise MMBenchError(f"the balancing method {part.name} is no mmbench.training Balance")
    return method
