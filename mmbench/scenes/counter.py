"""Random numbers by counter: draw k of item i of a stream is a hash of (stream, i, k).

An item does not depend on others, so any range of a split can be made alone. Only wrapping integer
arithmetic is used, so the numbers are the same on every machine and under every numpy.

Source: SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BitsArray = npt.NDArray[np.uint64]
T = TypeVar("T")

_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = 0xFFFFFFFFFFFFFFFF


def bits(stream: str, items: IntArray, draws: int, first: int = 0) -> BitsArray:
    """Draws `first` to `first + draws - 1` of each item (N,); uint64 (N, draws).

    >>> int(bits("example", np.array([7]), 1)[0, 0])
    9322592569111503982
    """
    key = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")
    state = _mix(np.asarray(items, np.uint64) * np.uint64(_GAMMA) + np.uint64(key))
    steps = np.arange(first + 1, first + draws + 1, dtype=np.uint64) * np.uint64(_GAMMA)
    return _mix(state[:, None] + steps[None, :])


def below(values: BitsArray, limit: int | IntArray) -> IntArray:
    """Whole numbers 0..limit-1 from draws; `limit` is a number or broadcasts to the draws."""
    high = values >> np.uint64(32)
    return ((high * np.asarray(limit, np.uint64)) >> np.uint64(32)).astype(np.int64)


def accepted(
    stream: str,
    items: IntArray,
    draws: int,
    accept: Callable[[BitsArray, IntArray], npt.NDArray[np.bool_]],
) -> BitsArray:
    """Each item's first `draws` draws, or the next, and so on, that are accepted: (N, draws).

    Args:
        stream, items: as for `bits`.
        draws: how many make a try.
        accept: says of tries (n, tries, draws), of the items at places (n,), which are good.
    """
    result = np.zeros((len(items), draws), np.uint64)
    todo = np.arange(len(items))
    first, tries = 0, 1
    while len(todo):
        values = bits(stream, items[todo], tries * draws, first).reshape(-1, tries, draws)
        good = accept(values, todo)
        found = good.any(axis=1)
        result[todo[found]] = values[found, good[found].argmax(axis=1)]
        todo = todo[~found]
        first += tries * draws
        tries *= 2
    return result


def distinct(values: BitsArray, limit: int) -> IntArray:
    """Whole numbers 0..limit-1 from draws (N, k), no two of a row alike.

    >>> distinct(bits("example", np.array([7]), 4), 5).tolist()
    [[2, 4, 0, 3]]
    """
    result = np.zeros(values.shape, np.int64)
    for place in range(values.shape[1]):
        number = below(values[:, place], limit - place)
        for earlier in np.sort(result[:, :place], axis=1).T:
            number += number >= earlier
        result[:, place] = number
    return result


class Dice:
    """Draws of one item, one after the other, for code that decides as it goes.

    >>> dice = Dice(1)
    >>> [dice.below(6) for _ in range(4)]
    [3, 4, 5, 2]
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed

    @classmethod
    def of(cls, stream: str, items: IntArray) -> list[Dice]:
        """One per item of a stream."""
        return [cls(seed) for seed in bits(stream, items, 1)[:, 0].tolist()]

    def below(self, limit: int) -> int:
        """A whole number 0..limit-1."""
        self._state = z = (self._state + _GAMMA) & _MASK
        z = ((z ^ (z >> 30)) * _MIX_1) & _MASK
        z = ((z ^ (z >> 27)) * _MIX_2) & _MASK
        return ((z >> 32) * limit) >> 32

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """The options in any order."""
        rest = list(options)
        for last in range(len(rest) - 1, 0, -1):
            other = self.below(last + 1)
            rest[last], rest[other] = rest[other], rest[last]
        return rest


def _mix(z: BitsArray) -> BitsArray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX_2)
    return z ^ (z >> np.uint64(31))
