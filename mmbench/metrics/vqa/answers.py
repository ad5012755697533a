"""The check that answers and the answers they are held against fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmbench.errors import MMBenchError


def accepted_answers(
    metric: str, predictions: Sequence[Any], targets: Sequence[Any]
) -> list[list[str]]:
    """Each target as a list of answers; a lone answer is a list of one.

    Args:
        metric: its name, for the error.
        predictions: N answers.
        targets: N answers or lists of answers.
    Raises: MMBenchError unless every prediction is a text, and every target one text or more.
    """
    if len(predictions) != len(targets):
        raise MMBenchError(
            f"{metric} needs one prediction per target: {len(predictions)} predictions, "
            f"{len(targets)} targets"
        )
    for index, prediction in enumerate(predictions):
        if not isinstance(prediction, str):
            raise MMBenchError(f"{metric} needs texts: prediction {index} is {prediction!r}")
    accepted = [[target] if isinstance(target, str) else target for target in targets]
    for index, answers in enumerate(accepted):
        whole = isinstance(answers, Sequence) and all(isinstance(a, str) for a in answers)
        if not whole or not answers:
            raise MMBenchError(
                f"{metric} needs a text or a list of texts to compare with: target {index} is "
                f"{answers!r}"
            )
    return [list(answers) for answers in accepted]
