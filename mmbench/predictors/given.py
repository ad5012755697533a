"""A Python object that answers queries, as `mmbench.run(task, model=object)` takes it."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.task import Answer, Predictor
from mmbench.versions import source_hash


class Given:
    """What a run of a Python object is of; the object itself answers.

    Args:
        of: what it is called: its `name`, or its class's.
        source: a hash of its class's source.
        settings: what its method `settings()` says decides its answers, as plain JSON.
    """

    named_by = ("of",)
    added_with = {"source": "", "settings": None}

    def __init__(self, of: str, source: str = "", settings: dict[str, Any] | None = None) -> None:
        raise MMBenchError(
            f"python:{of} stands for an object in a Python program: give it to "
            "mmbench.run(task, model=object), or name its class here, as module:Class"
        )

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Nothing: no such object is ever made."""
        raise NotImplementedError


def name_of(predictor: Predictor) -> str:
    """What an object is called in tables.

    Raises: MMBenchError if it is none that answers.
    """
    if not callable(getattr(predictor, "predict", None)) or isinstance(predictor, type):
        kind = "a class" if isinstance(predictor, type) else f"of type {type(predictor).__name__}"
        raise MMBenchError(
            f"the model is {kind}, which has no predict(queries) to call: give a name, or an "
            "object that yields an mmbench.task.Answer for each query"
        )
    return str(getattr(predictor, "name", type(predictor).__name__))


def settings_of(predictor: Predictor) -> dict[str, Any] | None:
    """What an object says decides its answers; None if it does not say."""
    settings = getattr(predictor, "settings", None)
    return dict(settings()) if callable(settings) else None


def source_of(predictor: Predictor) -> str:
    """A hash of the source of an object's class; "" where it has none, as typed into a prompt."""
    cls = type(predictor)
    try:
        if cls.__module__ != "__main__":
            return source_hash(cls.__module__, f"the class {cls.__qualname__}")
        return hashlib.sha256(inspect.getsource(cls).encode()).hexdigest()[:16]
    except (OSError, TypeError, MMBenchError):
        return ""
