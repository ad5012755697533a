"""METEOR's paraphrase table, cut down to what can match in given captions.

The program takes 5 s to read all of its 5.3 million paraphrases. It matches a phrase in one
sentence with its paraphrase in the other: a pair of which either side is in no sentence never does.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.metrics.base import IntArray

BoolArray = npt.NDArray[np.bool_]

_LONGEST = 7  # words of a phrase; the table's longest has as many
_BLOCK = 1 << 18  # bytes looked through at a time, to stay in the cache


class ParaphraseTable:
    """The table, read at once: three lines a paraphrase, its probability, phrase and paraphrase.

    Args:
        path: of the file, gzip-compressed.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.compute

        self._content = gzip.decompress(path.read_bytes())
        self._starts = _line_starts(self._content)
        self._lines = pyarrow.Array.from_buffers(  # views of the content, each with its newline
            pyarrow.binary(),
            len(self._starts) - 1,
            [None, pyarrow.py_buffer(self._starts), pyarrow.py_buffer(self._content)],
        )
        # The table is sorted by phrase: each one is looked up once, where its paraphrases begin.
        self._begins = np.ones(len(self._lines) // 3, np.bool_)  # (paraphrases,)
        differs = pyarrow.compute.not_equal(self._lines[3:], self._lines[:-3])  # three lines on
        self._begins[1:] = _array(differs)[1::3]
        self._phrases = self._lines.take(3 * np.flatnonzero(self._begins) + 1)

    def between(self, sentences: Iterable[str]) -> bytes:
        """The part of the table whose phrases and paraphrases both occur, compressed.

        Args:
            sentences: words joined by single spaces, lower case.
        """
        import pyarrow
        import pyarrow.compute

        asked = pyarrow.array(phrases(sentences), pyarrow.binary())
        found = _array(pyarrow.compute.is_in(self._phrases, value_set=asked))
        rows = np.flatnonzero(found[np.cumsum(self._begins) - 1])
        paraphrase = self._lines.take(3 * rows + 2)
        rows = rows[_array(pyarrow.compute.is_in(paraphrase, value_set=asked))]
        first, last = self._starts[3 * rows].tolist(), self._starts[3 * rows + 3].tolist()
        chosen = b"".join(self._content[i:j] for i, j in zip(first, last, strict=True))
        return gzip.compress(chosen, compresslevel=1)


def _array(values: Any) -> BoolArray:
    return values.to_numpy(zero_copy_only=False)


def phrases(sentences: Iterable[str]) -> list[bytes]:
    """Every run of 1 to 7 words of the sentences, once, with a newline after it.

    >>> sorted(phrases(["a dog runs"]))
    [b'a\\n', b'a dog\\n', b'a dog runs\\n', b'dog\\n', b'dog runs\\n', b'runs\\n']
    """
    found: set[str] = set()
    for sentence in set(sentences):
        starts, place = [0], sentence.find(" ") + 1
        while place:
            starts.append(place)
            place = sentence.find(" ", place) + 1
        ends = [*(start - 1 for start in starts[1:]), len(sentence)]
        for number, start in enumerate(starts):
            found.update([sentence[start:end] for end in ends[number : number + _LONGEST]])
    return "\n\0".join([*found, ""]).encode().split(b"\0")[:-1]


def _line_starts(content: bytes) -> IntArray:
    """Where each line starts, and where the last one ends; int32."""
    characters = np.frombuffer(content, np.uint8)
    starts = [np.zeros(1, np.int32)]
    for left in range(0, len(characters), _BLOCK):
        breaks = np.flatnonzero(characters[left : left + _BLOCK] == ord("\n"))
        starts.append((breaks + (left + 1)).astype(np.int32))
    return np.concatenate(starts)
