"""JSON from elsewhere, parsed in one place: whatever is wrong with it is a clear line."""

from __future__ import annotations

import json
import re
from typing import Any

from mmbench.errors import MMBenchError, brief

REPLACEMENT = "\ufffd"  # stands where a character was lost
HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # what begins or ends a pair


def parse_json(text: str, origin: str, unique_keys: bool = False) -> Any:
    """The value that a JSON text holds.

    Half of a character (a lone surrogate, such as `\\ud83d`, which UTF-8 cannot write) is read as
    U+FFFD, as a decoder of UTF-8 reads what it does not know.

    Args:
        text: the JSON.
        origin: what an error calls it: a path, "p.jsonl: line 3".
        unique_keys: whether a key that an object has twice is an error: where keys are ids.
    Raises: MMBenchError if it is not JSON, or nested more deeply than can be read.

    >>> parse_json('{"answer": "a \\\\ud83d"}', "p.json") == {"answer": "a \\ufffd"}
    True
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique if unique_keys else None)
        return whole_characters(value) if HALF_CHARACTER.search(text) else value
    except RecursionError:
        raise MMBenchError(f"{origin} is not JSON that can be read: nested too deeply") from None
    except ValueError as error:
        raise MMBenchError(f"{origin} is not JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {brief(key)} is there twice")
        found[key] = value
    return found


def whole_characters(value: Any) -> Any:
    """A value of texts, lists and mappings, with U+FFFD for what is half of a character."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [whole_characters(inner) for inner in value]
    if isinstance(value, dict):
        return {whole_characters(key): whole_characters(inner) for key, inner in value.items()}
    return value
