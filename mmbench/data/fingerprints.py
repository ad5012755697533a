"""What a split is, known without reading it: its fingerprint and size, kept in the cache.

They are found again by the dataset's settings, by the names, sizes and times of its files, and by
those of the code that reads it; whatever of these changes, the split is read again. What may change
unseen is not kept: what the hub has without a pinned revision, or in tables whose rows may name any
file; files outside of the dataset's folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from mmbench import registry
from mmbench.data.cache import Damaged, cache_folder, discard, read_note, write_note
from mmbench.data.checks import leaves
from mmbench.data.dataset import DatasetSpec
from mmbench.data.sample import SampleSet

_DEEPEST = 100  # folders in each other: a link to a folder that it lies in has no end
_MOST = 1_000_000  # files: a split that lies among more is read each time
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
    file = _file(key)
    try:
        return SplitFacts(**read_note(file))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (Damaged, TypeError) as error:  # the latter of another version
        discard(file, str(error))
        return None


def remember_facts(spec: DatasetSpec, split: str, facts: SplitFacts) -> None:
    """Keep them for later runs; a cache that cannot be written is left as it is."""
    key = _key(spec, split)
    if key is None:
        return
    file = _file(key)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_note(file, asdict(facts))
    except OSError:
        return


def _file(key: str) -> Path:
    return cache_folder() / "fingerprints" / f"{key}.json"


def _key(spec: DatasetSpec, split: str) -> str | None:
    """What stands for all that decides a split's content; None where that cannot be seen."""
    stamps = [_code_stamp(spec.task)]
    if spec.data_dir is not None:
        if spec.layout is None or _leaves(spec, spec.data_dir):
            return None
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


def _leaves(spec: DatasetSpec, folder: Path) -> bool:
    """Whether a setting names a file outside of the dataset's folder."""
    settings = [
        spec.layout.options if spec.layout else {},
        *(s.options for s in spec.splits.values()),
    ]
    texts = [text for options in settings for text in options.values() if isinstance(text, str)]
    return any(leaves(folder, folder / text) for text in texts)


@cache
def _code_stamp(task: str) -> str | None:
    """Of the code that reads splits: mmbench's own, and the task's."""
    here = Path(__file__).parent
    found = importlib.util.find_spec(registry.location("tasks", task)[0])
    of_task = [Path(found.origin)] if found is not None and found.origin else []
    return _stamp([here, here.parent / "scenes", *of_task], settled=False)


def _stamp(paths: Iterable[Path], settled: bool = True) -> str | None:
    """Of the names, sizes and times of all files below; None where one has just been changed.

    Also None where a file or folder cannot be read.
    """
    content = hashlib.sha256()
    newest = 0.0
    try:
        for path in paths:
            for name in [path] if path.is_file() else sorted(_files(path)):
                status = os.stat(name)
                seen = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
                content.update(f"{name}\0{seen}\n".encode("utf-8", "surrogateescape"))
                newest = max(newest, status.st_mtime)
    except OSError:
        return None
    if settled and time.time() - newest < _SETTLED:
        return None
    return content.hexdigest()


def _files(folder: Path) -> Iterable[Path]:
    """All files below; links are followed, since images often lie on another disk.

    Raises: OSError if a folder cannot be read, links to one that it lies in, or holds more files
        than are worth looking at.
    """

    def fail(error: OSError) -> None:
        raise error

    seen = 0
    for parent, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        if len(Path(parent).parts) > _DEEPEST:
            raise OSError(f"{parent} lies too deep")
        seen += len(names)
        if seen > _MOST:
            raise OSError(f"{folder} holds more than {_MOST:,} files")
        yield from (Path(parent) / name for name in names)
