"""METEOR 1.5 of captions, by the authors' Java program."""

from __future__ import annotations

import gzip
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.errors import ToolError
from mmbench.metrics.base import FloatArray, TotalsMetric
from mmbench.metrics.captions.java import JavaProgram, pycocoevalcap_folder
from mmbench.metrics.captions.tokens import TOKENIZERS, tokenised

# The program's parameters for English, METEOR 1.5 (Denkowski and Lavie, 2014, table 1).
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_STAGES = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym, paraphrase
_WAYS_TO_SPLIT = (str.split, re.compile(r"\w+|[^\w\s]").findall, re.compile(r"\w+").findall)
_COLUMNS = 23
_ARGUMENTS = ("-Xmx2G", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm")
_LONGEST_PHRASE = 7  # words; the table's longest has as many


class METEOR(TotalsMetric):
    """Harmonic mean of weighted precision and recall of aligned words, less a penalty for chunks.

    The Java program aligns each caption with its best reference and gives 23 counts; the value
    over many captions is that of the sums of their counts, as the program itself computes it.

    Args:
        tokenizer: "ptb" as COCO does, or "whitespace".
    """

    name = "meteor"
    source = "Denkowski and Lavie, WMT 2014; meteor-1.5.jar of pycocoevalcap 1.2"
    own_process = True

    def __init__(self, tokenizer: str = "ptb") -> None:
        self.tokenizer = tokenizer

    def settings(self) -> dict[str, str]:
        """Tokenizer, version, language and normalisation."""
        return {"tokenizer": TOKENIZERS[self.tokenizer], "jar": "1.5", "language": "en-norm"}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """The program's 23 counts of each caption; (N, 23). An empty caption aligns nothing.

        Raises: ToolError if the program dies or hangs, with what it said.
        """
        folder = pycocoevalcap_folder("meteor")
        with gzip.open(folder / "data" / "paraphrase-en.gz") as file:
            paraphrases = file.read()  # while another metric's thread waits for the tokenizer
        captions = tokenised(self.name, self.tokenizer, predictions, targets)
        lines = [
            _line(candidate, references)
            for candidate, references in zip(captions.candidates, captions.references, strict=True)
        ]
        with tempfile.TemporaryDirectory() as scratch:
            table = Path(scratch) / "paraphrases.gz"
            table.write_bytes(_paraphrases_of(lines, paraphrases))
            arguments = [*_ARGUMENTS, "-a", str(table)]
            with JavaProgram("METEOR", arguments, folder) as program:
                answers = program.answer(lines, seconds=180 + len(lines) / 20)
        rows = [answer.split() for answer in answers]
        if len(rows) != len(lines) or any(len(row) != _COLUMNS for row in rows):
            strange = next((a for a in answers if len(a.split()) != _COLUMNS), "")
            raise ToolError(
                f"METEOR answered {len(rows)} of {len(lines)} captions. It said: {strange[:200]}"
            )
        counts = np.array(rows, np.float64)
        # A perfect match is one chunk: the program leaves it out of the penalty, alone or in a sum.
        perfect = (counts[:, 0] == counts[:, 21]) & (counts[:, 1] == counts[:, 22])
        counts[perfect & (counts[:, 20] == 1), 20] = 0
        return counts

    def from_totals(self, totals: FloatArray, count: FloatArray) -> FloatArray:
        """The score of summed counts."""
        length, reference_length = totals[..., 0], totals[..., 1]
        function, reference_function = totals[..., 2], totals[..., 3]
        stages = totals[..., 4:20].reshape(*totals.shape[:-1], 4, 4)
        matched = _STAGES @ (_DELTA * stages[..., 0] + (1 - _DELTA) * stages[..., 2])[..., None]
        found = _STAGES @ (_DELTA * stages[..., 1] + (1 - _DELTA) * stages[..., 3])[..., None]
        precision = _ratio(matched[..., 0], _weighted(length, function))
        recall = _ratio(found[..., 0], _weighted(reference_length, reference_function))
        mean = _ratio(precision * recall, (1 - _ALPHA) * recall + _ALPHA * precision)
        chunks, words, reference_words = (totals[..., i] for i in (20, 21, 22))
        fragmentation = _ratio(chunks, (words + reference_words) / 2)
        return mean * (1 - _GAMMA * fragmentation**_BETA)


def _line(candidate: str, references: Sequence[str]) -> str:
    """What the program reads; as pycocoevalcap, the separator is taken out of captions."""
    clean = candidate.replace("|||", "").replace("  ", " ")
    return " ||| ".join(["SCORE", *references, clean])


def _paraphrases_of(lines: Sequence[str], table: bytes) -> bytes:
    """The part of the paraphrase table that can match in these lines, compressed.

    The program takes 5 s to read all of its 5.3 million paraphrases, and looks up the phrases of
    the captions alone. It splits words at punctuation in ways of its own: phrases are kept for
    each way in which it may.
    """
    phrases: set[bytes] = set()
    for sentence in {sentence for line in lines for sentence in line.split(" ||| ")[1:]}:
        for words in {tuple(split(sentence)) for split in _WAYS_TO_SPLIT}:
            for start in range(len(words)):
                for end in range(start + 1, min(start + _LONGEST_PHRASE, len(words)) + 1):
                    phrases.add(" ".join(words[start:end]).encode())
    rows = table.split(b"\n")  # three a paraphrase: probability, phrase, paraphrase
    kept = [place for place, phrase in enumerate(rows[1::3]) if phrase in phrases]
    chosen = b"".join(b"\n".join(rows[3 * i : 3 * i + 3]) + b"\n" for i in kept)
    return gzip.compress(chosen, compresslevel=1)


def _weighted(length: FloatArray, function: FloatArray) -> FloatArray:
    return _DELTA * (length - function) + (1 - _DELTA) * function


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, 0.0)
