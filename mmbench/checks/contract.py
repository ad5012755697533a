"""What a contract's checks have in common: what is said of a part that does not keep it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmbench.errors import MMBenchError, raised

Make = Callable[..., Any]  # makes the part that is checked
Check = Callable[[Make], None]  # raises `NotKept`; its docstring says what must hold


class NotKept(AssertionError):
    """A part does not keep its contract; says what it does."""


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes:
        name: of the check: "masks".
        due: what must hold, in words.
        problem: what does not; empty where the part keeps it.
    """

    name: str
    due: str
    problem: str = ""


def require(holds: bool, problem: str) -> None:
    """Raise what is wrong unless it holds.

    Raises: NotKept.
    """
    if not holds:
        raise NotKept(problem)


def require_finite(found: Tensor, what: str) -> None:
    """Raise if a tensor holds NaN or infinity.

    Raises: NotKept.
    """
    odd = int((~found.isfinite()).sum())
    require(odd == 0, f"{odd} of {found.numel()} numbers of {what} are NaN or infinite")


def require_close(one: Tensor, two: Tensor, what: str, tolerance: float = 1e-5) -> None:
    """Raise unless two tensors agree, relatively and absolutely, to a tolerance.

    Raises: NotKept.
    """
    require(one.shape == two.shape, f"{what}: shapes {shape(one)} and {shape(two)}")
    if not torch.allclose(one, two, rtol=tolerance, atol=tolerance):
        furthest = (one - two).abs().max().item()
        raise NotKept(f"{what}: the two differ by up to {furthest:.3g}")


def shape(tensor: Tensor) -> tuple[int, ...]:
    """A tensor's shape, as a message has it."""
    return tuple(tensor.shape)


def run_checks(checks: Sequence[Check], make: Make) -> list[Outcome]:
    """What each check says of a part.

    Args:
        checks: of the contract.
        make: what makes the part.
    Raises: MMBenchError for a part that cannot be made as it is asked for.
    """
    try:
        make()
    except MMBenchError:  # a mistake in what is asked for, such as an option's name
        raise
    except Exception as error:
        return [Outcome("made", "It can be made.", raised(error))]
    return [_outcome(check, make) for check in checks]


def _outcome(check: Check, make: Make) -> Outcome:
    name = check_name(check)
    due = " ".join((check.__doc__ or "").split())
    try:
        with torch.random.fork_rng(devices=[]):
            check(make)
    except (NotKept, MMBenchError) as error:
        return Outcome(name, due, str(error))
    except Exception as error:  # whatever a part raises is what is wrong with it
        return Outcome(name, due, raised(error))
    return Outcome(name, due)


def check_name(check: Check) -> str:
    """What a check is called.

    >>> def check_masks(make): ...
    >>> check_name(check_masks)
    'masks'
    """
    return check.__name__.removeprefix("check_").replace("_", " ")
