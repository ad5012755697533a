"""What a part gave, in words, where something else is due."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from mmbench.errors import MMBenchError, raised
from mmbench.sources import OWN_PACKAGES
from mmbench.zoo.stream import Stream

_KINDS = {"Fusion": "fusion", "LateFusion": "late fusion", "Encoder": "encoder"}


def mistaken(part: object, gave: object, due: str) -> MMBenchError:
    """The error of a part whose `forward` gave something else than it should.

    Args:
        part: a module, named by its class.
        gave: what it gave.
        due: what should have come.
    """
    return MMBenchError(
        f"the {_word(part)} {type(part).__name__} gave {described(gave)} where {due} is due. "
        f"{_check_of(part)} checks the whole contract"
    )


def tell_failure(part: object, error: Exception, inputs: str) -> None:
    """Say whose code raised an error, and where in it, if the part is not mmbench's own.

    Args:
        part: a module, whose `forward` raised it.
        error: what was raised.
        inputs: what the part was handed, in words.
    Raises: MMBenchError; nothing for a part of mmbench's own, an error that is told already, or a
        lack of memory.
    """
    cls = type(part)
    if cls.__module__.partition(".")[0] in OWN_PACKAGES or _told_elsewhere(error):
        return
    raise MMBenchError(
        f"the {_word(part)} {cls.__name__} fails on {inputs}: "
        f"{raised(error, inspect.getsourcefile(cls))}. {_check_of(part)} says more"
    ) from error


def _told_elsewhere(error: Exception) -> bool:
    kinds = (MMBenchError, MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(w in str(error) for w in ("memory", "ALLOC_FAILED"))


def _word(part: object) -> str:
    named = (_KINDS[c.__name__] for c in type(part).__mro__ if c.__name__ in _KINDS)
    return next(named, "decoder")  # whose contract has no class of its own


def _check_of(part: object) -> str:
    short = _word(part).split()[-1]
    where = f"{type(part).__module__}:{type(part).__name__}"
    return f"`mmbench check {short} {where}`"


def described(value: object) -> str:
    """A value's type and shapes, in words.

    >>> import torch
    >>> described(torch.zeros(2, 3)), described(None), described([1])
    ('a Tensor (2, 3)', 'None', 'a list')
    """
    if value is None:
        return "None"
    if isinstance(value, Tensor):
        return f"a Tensor {tuple(value.shape)}"
    if isinstance(value, Stream):
        return f"a Stream of tokens {tuple(value.tokens.shape)}, mask {tuple(value.mask.shape)}"
    inner: Any = getattr(value, "stream", getattr(value, "logits", None))
    name = type(value).__name__
    article = "an" if name[:1] in "AEIOUaeiou" else "a"
    return f"{article} {name}" + (f" of {described(inner)}" if inner is not None else "")
