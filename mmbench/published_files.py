"""Files that others published beside weights: read, hashed, and refused where they are pickles."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmbench.errors import MMBenchError, in_one_line
from mmbench.json_text import parse_json

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
Stamp = tuple[str, str, int, int, int]


def read_settings(path: Path, name: str) -> dict[str, Any]:
    """A file of JSON beside the weights."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        adapter = (path.parent / "adapter_config.json").is_file()
        why = "holds an adapter alone" if adapter else f"lacks {path.name}"
        raise MMBenchError(
            f"the checkpoint {name} {why}: name a folder in which transformers saved a whole "
            "network (save_pretrained), or one on the hub"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MMBenchError(f"{path} cannot be read: {in_one_line(error)}") from None
    if not isinstance(value, dict):
        raise MMBenchError(f"{path} holds no settings of a checkpoint")
    return value


def without_safetensors(folder: Path, name: str, wanted: str) -> MMBenchError:
    """The error of a checkpoint whose weights are not such as mmbench reads.

    Args:
        folder: where its weights would be.
        wanted: the file that they would be in.
    """
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLES)
    has = f"holds its weights as {pickles[0]} alone" if pickles else f"has no {wanted}"
    return MMBenchError(
        f"the checkpoint {name} {has}; mmbench reads safetensors and never a pickle, which can run "
        f"code: name one that has {wanted}, or save it anew (save_pretrained)"
    )


def stamp(file: Path, folder: Path) -> Stamp:
    """What tells a file that was changed: its place, its name below a folder, size and times."""
    found = file.stat()
    return (
        str(file),
        file.relative_to(folder).as_posix(),
        found.st_size,
        found.st_mtime_ns,
        found.st_ino,
    )


@lru_cache(maxsize=256)
def content_hash(stamps: tuple[Stamp, ...]) -> str:
    """The SHA-256 of files' names and contents; a second time only of files that were changed."""
    whole = hashlib.sha256()
    for path, name, *_ in sorted(stamps, key=lambda stamp: stamp[1]):
        try:
            content = hashlib.sha256()
            with Path(path).open("rb") as file:
                while piece := file.read(1 << 20):
                    content.update(piece)
        except OSError as error:
            raise MMBenchError(f"{path} cannot be read: {error.strerror}") from None
        whole.update(f"{name} {content.hexdigest()}\n".encode())
    return whole.hexdigest()
