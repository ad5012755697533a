"""What a split is, known without reading it: its fingerprint and size, kept in the cache.

They are found again by the dataset's settings, by the names, sizes and times of its files, and by
those of the code that reads it; whatever of these changes, the split is read again. What comes from
the hub without a pinned revision may change unseen, and is not kept.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from mmbench import registry
from mmbench.data.dataset import DatasetSpec
from mmbench.data.media import cache_folder
from mmbench.data.sample import SampleSet

_SETTLED = 2.0  # seconds after which a change of a file changes its time for sure


@dataclass(frozen=True)
class SplitFacts:
    """What is known of a split.

    Attributes:
        fingerprint: of its content.
        samples, groups: how many there are.
    """

    fingerprint: str
    samples: int
    groups: int


def facts_of(samples: SampleSet) -> SplitFacts:
    """Those of a split that was read."""
    groups = len({sample.group for sample in samples})
    return SplitFacts(samples.fingerprint, len(samples), groups)


def known_facts(spec: DatasetSpec, split: str) -> SplitFacts | None:
    """The facts of a split that was read before, and has not changed since; None if unknown."""
    key = _key(spec, split)
    if key is None:
        return None
    try:
        return SplitFacts(**json.loads(_file(key).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # not there, or damaged: it is read again
        return None


def remember_facts(spec: DatasetSpec, split: str, facts: SplitFacts) -> None:
    """Keep them for later runs; a cache that cannot be written is left as it is."""
    key = _key(spec, split)
    if key is None:
        return
    file = _file(key)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=file.parent, suffix=".json", delete=False, encoding="utf-8"
        ) as made:
            json.dump(asdict(facts), made)
        os.replace(made.name, file)
    except OSError:
        return


def _file(key: str) -> Path:
    return cache_folder() / "fingerprints" / f"{key}.json"


def _key(spec: DatasetSpec, split: str) -> str | None:
    """What stands for all that decides a split's content; None where that cannot be seen."""
    stamps = [_code_stamp(spec.task)]
    if spec.data_dir is not None:
        stamps.append(_stamp([spec.data_dir]))
    elif spec.source is not None:
        found = importlib.util.find_spec(spec.source.package)
        if found is None or not found.submodule_search_locations:
            return None
        stamps.append(_stamp([Path(found.submodule_search_locations[0])]))
    elif spec.hub is not None and spec.hub.revision is None:
        return None
    if None in stamps:
        return None
    content = json.dumps([spec.model_dump(mode="json"), split, stamps], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:24]


@cache
def _code_stamp(task: str) -> str | None:
    """Of the code that reads splits: mmbench's own, and the task's."""
    here = Path(__file__).parent
    found = importlib.util.find_spec(registry.location("tasks", task)[0])
    of_task = [Path(found.origin)] if found is not None and found.origin else []
    return _stamp([here, here.parent / "scenes", *of_task], settled=False)


def _stamp(paths: Iterable[Path], settled: bool = True) -> str | None:
    """Of the names, sizes and times of all files below; None where one has just been changed."""
    content = hashlib.sha256()
    newest = 0.0
    for path in paths:
        for name in [path] if path.is_file() else sorted(_files(path)):
            try:
                status = os.stat(name)
            except OSError:
                return None
            content.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
            newest = max(newest, status.st_mtime)
    if settled and time.time() - newest < _SETTLED:
        return None
    return content.hexdigest()


def _files(folder: Path) -> Iterable[Path]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(parent) / name for name in names)
