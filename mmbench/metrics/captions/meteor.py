"""METEOR 1.5 of captions, by the authors' Java program."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.errors import ToolError
from mmbench.metrics.base import FloatArray, TotalsMetric
from mmbench.metrics.captions.java import JavaProgram, beside, pycocoevalcap_folder
from mmbench.metrics.captions.paraphrases import ParaphraseTable
from mmbench.metrics.captions.tokens import TOKENIZERS, TokenisedCaptions, tokenised

# The program's parameters for English, METEOR 1.5 (Denkowski and Lavie, 2014, table 1).
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_STAGES = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym, paraphrase
_COLUMNS = 23
_JAR = "meteor-1.5.jar"
_ARGUMENTS = ("-Xmx2G", "-jar", _JAR, "-", "-", "-stdio", "-l", "en")
_BETWEEN = " ||| "
_PLAIN = re.compile("[0-9A-Za-z ]*")  # the program's normaliser changes nothing in these
_MANY = 1000  # captions that are worth a second process


class METEOR(TotalsMetric):
    """Harmonic mean of weighted precision and recall of aligned words, less a penalty for chunks.

    The Java program aligns each caption with its best reference and gives 23 counts; the value
    over many captions is that of the sums of their counts, as the program itself computes it.

    Args:
        tokenizer: "ptb" as COCO does, or "whitespace".
    """

    tasks = ("captioning",)
    name = "meteor"
    title = "METEOR"
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
        # Read while another metric's thread waits for the tokenizer.
        table = ParaphraseTable(folder / "data" / "paraphrase-en.gz")
        captions = tokenised(self.name, self.tokenizer, predictions, targets)
        lines = _lines(captions, folder)
        with tempfile.TemporaryDirectory() as scratch:
            part = Path(scratch) / "paraphrases.gz"
            sentences = (s for line in lines for s in line.split(_BETWEEN)[1:])
            part.write_bytes(table.between(sentences))
            del table
            answers = _ask([*_ARGUMENTS, "-lower", "-a", str(part)], lines, folder)
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


def _lines(captions: TokenisedCaptions, folder: Path) -> list[str]:
    """What the program reads, a line a caption: its references, and itself.

    As in pycocoevalcap, the separator is taken out of captions. The sentences are normalised as the
    program's `-norm` does, by its own normaliser, but once each, and only if there is anything to
    do: it takes half of the program's time.
    """
    candidates = [c.replace("|||", "").replace("  ", " ") for c in captions.candidates]
    sentences = dict.fromkeys([*candidates, *(r for refs in captions.references for r in refs)])
    odd = [sentence for sentence in sentences if not _PLAIN.fullmatch(sentence)]
    normal = {sentence: " ".join(sentence.lower().split()) for sentence in sentences}
    if odd:
        arguments = ["-cp", _JAR, "edu.cmu.meteor.util.Normalizer", "en", "true"]
        with JavaProgram("METEOR's normaliser", arguments, folder) as program:
            answers = program.answer(odd, seconds=60 + len(odd) / 100)
        if len(answers) != len(odd):
            raise ToolError(f"METEOR normalised {len(answers)} of {len(odd)} sentences")
        normal |= {s: " ".join(a.lower().split()) for s, a in zip(odd, answers, strict=True)}
    return [
        _BETWEEN.join(["SCORE", *(normal[r] for r in references), normal[candidate]])
        for candidate, references in zip(candidates, captions.references, strict=True)
    ]


def _ask(arguments: Sequence[str], lines: Sequence[str], folder: Path) -> list[str]:
    """The program's answers, by two processes where there is much to do."""
    parts = min(2, os.cpu_count() or 1) if len(lines) >= _MANY else 1
    size = -(-len(lines) // parts)

    def answer(start: int) -> list[str]:
        some = lines[start : start + size]
        with JavaProgram("METEOR", arguments, folder) as program:
            return program.answer(some, seconds=180 + len(some) / 20)

    with beside(parts) as pool:
        found = list(pool.map(answer, range(0, len(lines), size)))
    return [line for part in found for line in part]


def _weighted(length: FloatArray, function: FloatArray) -> FloatArray:
    return _DELTA * (length - function) + (1 - _DELTA) * function


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, 0.0)
