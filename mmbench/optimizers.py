"""Optimizers that a recipe can name, and their options: settings alone, known without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from mmbench.errors import did_you_mean
from mmbench.yaml_file import Settings, setting, validate


class AdamW(Settings):
    """AdamW (Loshchilov and Hutter 2019), torch.optim.AdamW: the default.

    Attributes:
        beta1: of the mean of the gradients.
        beta2: of the mean of their squares.
        eps: added to the root of the latter.
    """

    beta1: float = setting(0.9, added_with=0.9, ge=0, lt=1)
    beta2: float = setting(0.999, added_with=0.999, ge=0, lt=1)
    eps: float = setting(1e-8, added_with=1e-8, ge=0)


class SGD(Settings):
    """Stochastic gradient descent, torch.optim.SGD; weight decay is added to the gradient.

    Attributes:
        momentum: of the mean of the gradients; 0 for none.
        nesterov: whether it looks ahead along its momentum (Sutskever et al. 2013).
    """

    momentum: float = setting(0.9, added_with=0.9, ge=0, lt=1)
    nesterov: bool = setting(False, added_with=False)

    @model_validator(mode="after")
    def _has_momentum_to_look_along(self) -> SGD:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class Adafactor(Settings):
    """Adafactor (Shazeer and Stern 2018), torch.optim.Adafactor: of a matrix, it keeps sums by row
    and column. Its steps are relative to the size of each tensor, and it waits for a GPU each step.

    Attributes:
        beta2_decay: exponent of the step by which beta2 nears 1.
        eps: the smallest size of a tensor that its step is taken relative to.
        clip: the largest root mean square of an update.
    """

    beta2_decay: float = setting(-0.8, added_with=-0.8, le=0)
    eps: float = setting(1e-3, added_with=1e-3, gt=0)
    clip: float = setting(1.0, added_with=1.0, ge=1)


class Muon(Settings):
    """Muon (Jordan et al. 2024), torch.optim.Muon (torch 2.9 or newer), of matrices: their momentum
    is made orthogonal. Embeddings, kernels, norms and biases are trained by AdamW, as it is by
    default.

    Attributes:
        momentum: of the mean of the gradients.
        nesterov: whether it looks ahead along its momentum.
        steps: of Newton and Schulz's iteration, by which it is made orthogonal.
        size: of updates: "match_rms_adamw" scales them to the usual size of AdamW's (Liu et al.
            2025), so that one learning rate and weight decay serve both; "original" as first
            published.
    """

    momentum: float = setting(0.95, added_with=0.95, ge=0, lt=1)
    nesterov: bool = setting(True, added_with=True)
    steps: int = setting(5, added_with=5, ge=1, lt=100)
    size: Literal["match_rms_adamw", "original"] = setting(
        "match_rms_adamw", added_with="match_rms_adamw"
    )


OPTIMIZERS: dict[str, type[Settings]] = {
    "adamw": AdamW,
    "sgd": SGD,
    "adafactor": Adafactor,
    "muon": Muon,
}


def optimizer_options(name: str, options: Mapping[str, Any]) -> Settings:
    """The options of an optimizer, checked, defaults filled in.

    Raises: ValueError if there is no such optimizer, MMBenchError if it has no such options.
    """
    if (kind := OPTIMIZERS.get(name)) is None:
        raise ValueError(
            f"{name} is not one of {', '.join(OPTIMIZERS)}.{did_you_mean(name, OPTIMIZERS)} "
            "`mmbench show train` has their options"
        )
    return validate(kind, dict(options), name)
