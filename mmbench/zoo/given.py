"""What a part gave, in words, where something else is due."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmbench.errors import MMBenchError
from mmbench.zoo.stream import Stream


def mistaken(part: object, gave: object, due: str) -> MMBenchError:
    """The error of a part whose `forward` gave something else than it should.

    Args:
        part: a module, named by its class.
        gave: what it gave.
        due: what should have come.
    """
    kind = next((c.__name__ for c in type(part).__mro__ if c.__name__ in _KINDS), "")
    word = _KINDS.get(kind, "part")
    return MMBenchError(
        f"the {word} {type(part).__name__} gave {described(gave)} where {due} is due"
        f"{_checked(word, part)}"
    )


_KINDS = {"Fusion": "fusion", "LateFusion": "late fusion", "Encoder": "encoder"}


def _checked(word: str, part: object) -> str:
    short = word.split()[-1]
    where = f"{type(part).__module__}:{type(part).__name__}"
    return f". `mmbench check {short} {where}` checks the whole contract"


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
