"""Pipelines of diffusers as they are published: several networks in a folder, named by an index.

Nothing is loaded here. Of each network its weights are safetensors in their usual precision or they
are refused; no code that lies beside them is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmbench.errors import MMBenchError
from mmbench.published_files import read_settings, without_safetensors

INDEX = "model_index.json"
_CONFIG = "config.json"  # of a network; schedulers and processors have files of other names
_WEIGHTS = re.compile(r"(diffusion_pytorch_model|model)(-\d+-of-\d+)?\.safetensors")
_SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")


@dataclass(frozen=True)
class PipelineIndex:
    """What a pipeline is made of.

    Attributes:
        architecture: the name of its class.
        components: folders of its parts.
    """

    architecture: str
    components: tuple[str, ...]


def read_index(folder: Path, name: str) -> PipelineIndex:
    """The index of a pipeline.

    Raises: MMBenchError for one that names a class of its own, or no parts.
    """
    found = read_settings(folder / INDEX, name)
    architecture = found.get("_class_name")
    parts = {key: value for key, value in found.items() if _names_a_class(value)}
    if not isinstance(architecture, str):
        raise MMBenchError(
            f"the checkpoint {name} wants to run code of its own (_class_name in {INDEX}), which "
            "mmbench never does: name a pipeline whose class diffusers has"
        )
    given = [key for key, value in parts.items() if any(value)]
    named = [key for key in given if Path(key).name == key]
    if not named or named != given:
        raise MMBenchError(f"{folder / INDEX} names no parts beside it")
    return PipelineIndex(architecture, tuple(sorted(named)))


def _names_a_class(value: object) -> bool:
    """Whether it is a library and a class in it; both are null for a part that is left out."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(isinstance(each, str | None) for each in value)


def pipeline_patterns(index: PipelineIndex) -> list[str]:
    """Of all files on the hub those that are needed; weights in other precisions are left out."""
    weights = ("diffusion_pytorch_model", "model")
    endings = (*_SETTINGS, *(f"{w}{end}.safetensors" for w in weights for end in ("", "-*-of-*")))
    return [INDEX, *(f"{part}/{ending}" for part in index.components for ending in endings)]


def pipeline_files(folder: Path, index: PipelineIndex, name: str) -> list[Path]:
    """All files of a pipeline that decide what it draws.

    Raises: MMBenchError if a part is absent, has no safetensors, or brings code with it.
    """
    return [folder / INDEX, *(f for part in index.components for f in _of(folder / part, name))]


def _of(part: Path, name: str) -> Iterator[Path]:
    if not part.is_dir():
        raise MMBenchError(f"the checkpoint {name} lacks {part.name}, which its {INDEX} names")
    settings = sorted({file for pattern in _SETTINGS for file in part.glob(pattern)})
    code = [file.name for file in sorted(part.glob("*.py"))]
    config = read_settings(part / _CONFIG, name) if part / _CONFIG in settings else {}
    if code or "auto_map" in config:
        raise MMBenchError(
            f"the checkpoint {name} wants to run code of its own ({part.name}/"
            f"{code[0] if code else _CONFIG}), which mmbench never does: name another one"
        )
    yield from settings
    weights = [file for file in sorted(part.iterdir()) if _WEIGHTS.fullmatch(file.name)]
    if config and not weights and _is_network(config):
        usual = "model" if "model_type" in config else "diffusion_pytorch_model"
        raise without_safetensors(part, name, f"{part.name}/{usual}.safetensors")
    yield from weights


def _is_network(config: dict[str, object]) -> bool:
    """Whether a part's configuration is of something with weights."""
    return "model_type" in config or "_class_name" in config
