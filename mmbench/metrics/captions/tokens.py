"""Captions as tokens: the Penn Treebank tokenizer that the COCO caption evaluation uses.

Source: Stanford CoreNLP 3.4.1's PTBTokenizer, lower case, without punctuation, as in
pycocoevalcap/tokenizer/ptbtokenizer.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from mmbench.errors import MMBenchError, ToolError
from mmbench.metrics.captions.java import JavaProgram, pycocoevalcap_folder

TOKENIZERS = {"ptb": "ptb-3.4.1", "whitespace": "whitespace"}

_JAR = "stanford-corenlp-3.4.1.jar"
_CLASS = "edu.stanford.nlp.process.PTBTokenizer"
_LINE_BREAKS = re.compile(r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_KEPT = 1_000_000  # captions whose tokens are remembered
_remembered: dict[str, str] = {}
_one_at_a_time = Lock()


@dataclass(frozen=True)
class TokenisedCaptions:
    """Captions and their references as tokens joined by spaces.

    Attributes:
        candidates: N captions.
        references: N tuples of at least one reference.
    """

    candidates: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]


def tokenised(
    metric: str, tokenizer: str, predictions: Sequence[Any], targets: Sequence[Any]
) -> TokenisedCaptions:
    """Check captions and references and split them into tokens, all in one call of the tokenizer.

    Args:
        metric: its name, for errors.
        tokenizer: "ptb" or "whitespace" (captions that are tokens already).
        predictions: N captions.
        targets: N references or lists of references.
    Raises: MMBenchError unless every prediction is a text, and every target one text or more.
    """
    if not len(predictions):
        raise MMBenchError(f"{metric} needs at least one caption, got none")
    if len(predictions) != len(targets):
        raise MMBenchError(
            f"{metric} needs one prediction per target: {len(predictions)} predictions, "
            f"{len(targets)} targets"
        )
    references = [(t,) if isinstance(t, str) else tuple(t) for t in targets]
    for place, (caption, right) in enumerate(zip(predictions, references, strict=True)):
        if not isinstance(caption, str):
            raise MMBenchError(f"{metric} needs texts: prediction {place} is {caption!r}")
        if not right or not all(isinstance(reference, str) for reference in right):
            raise MMBenchError(
                f"{metric} needs a text or a list of texts to compare with: target {place} is "
                f"{targets[place]!r}"
            )
    if tokenizer not in TOKENIZERS:
        raise MMBenchError(f"{metric} splits by {' or '.join(TOKENIZERS)}, not by {tokenizer!r}")
    split = ptb_tokens if tokenizer == "ptb" else _whitespace_tokens
    tokens = iter(split([*predictions, *(r for right in references for r in right)]))
    candidates = tuple(next(tokens) for _ in predictions)
    return TokenisedCaptions(candidates, tuple(tuple(next(tokens) for _ in r) for r in references))


def ptb_tokens(captions: Sequence[str]) -> list[str]:
    """The tokens of captions, joined by spaces; what was tokenised before is remembered.

    >>> ptb_tokens(["A dog's ball, red and blue."])
    ["a dog 's ball red and blue"]
    """
    with _one_at_a_time:  # metrics that run side by side wait for one call
        if len(_remembered) > _KEPT:
            _remembered.clear()
        new = [caption for caption in dict.fromkeys(captions) if caption not in _remembered]
        if new:
            _remembered.update(zip(new, _call_tokenizer(new), strict=True))
        return [_remembered[caption] for caption in captions]


def _call_tokenizer(captions: Sequence[str]) -> list[str]:
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS

    folder = pycocoevalcap_folder("tokenizer")
    arguments = ["-cp", _JAR, _CLASS, "-preserveLines", "-lowerCase"]
    with JavaProgram("the PTB tokenizer", arguments, folder) as program:
        sent = [_LINE_BREAKS.sub(" ", caption) for caption in captions]
        lines = program.answer(sent, seconds=120 + len(sent) / 100)
    if len(lines) != len(captions):
        raise ToolError(
            f"the PTB tokenizer gave {len(lines)} lines for {len(captions)} captions: one of them "
            "holds a character that it takes for the end of a line"
        )
    dropped = set(PUNCTUATIONS)
    return [" ".join(w for w in line.split(" ") if w and w not in dropped) for line in lines]


def _whitespace_tokens(captions: Sequence[str]) -> list[str]:
    return [" ".join(caption.split()) for caption in captions]
