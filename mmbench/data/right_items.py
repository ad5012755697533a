"""Reads files of right items by id, as ECCV Caption publishes its own, CxC's and COCO's."""

from __future__ import annotations

import re
from pathlib import Path

from mmbench.data.text_files import read_json
from mmbench.errors import MMBenchError, brief

_WHOLE = re.compile(r"-?[0-9]+")


def read_positives(path: Path | str) -> dict[int, list[int]]:
    """The right items of each query of a file `{"query id": [item id, ...], ...}`.

    Its keys are the queries to ask.
    Raises: MMBenchError if it is not that, or names a query twice.
    """
    layout = f'{path} is not a file of right items, {{"query id": [item id, ...], ...}}'
    content = read_json(Path(path), unique_keys=True)
    if not isinstance(content, dict):
        raise MMBenchError(f"{layout}: it holds a {type(content).__name__}")
    found: dict[int, list[int]] = {}
    for query, items in content.items():
        whole = isinstance(items, list) and all(type(item) is int for item in items)
        if not whole or not _WHOLE.fullmatch(query):
            raise MMBenchError(f"{layout}: look at {brief(query)}, {brief(items)}")
        if int(query) in found:
            raise MMBenchError(f"{path} names query {int(query)} twice, once as {brief(query)}")
        found[int(query)] = items
    return found
