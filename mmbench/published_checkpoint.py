"""Checkpoints that others published, as transformers saves them: found, looked at, and hashed.

Nothing of one is loaded here, and torch is not imported: what a run is of (`Identity`) is known
before its model is built. Weights are safetensors or they are refused, and no code that lies beside
them is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmbench import registry
from mmbench.checkpoint import named_weights, read_header
from mmbench.errors import MMBenchError, in_one_line
from mmbench.hub_network import offline_without_network
from mmbench.published_files import content_hash, read_settings, stamp, without_safetensors
from mmbench.published_pipeline import INDEX, pipeline_files, pipeline_patterns, read_index
from mmbench.sources import class_value

WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"
RANKER_TASK = "retrieval"  # of the checkpoints that rank images
_PREPARATION = "preprocessor_config.json"  # of images and sounds
WORDS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
_SETTINGS = (
    *("config.json", _PREPARATION, "processor_config.json", "tokenizer_config.json"),
    *("video_preprocessor_config.json", "special_tokens_map.json", "added_tokens.json"),
    "merges.txt",
)
ANY = "any"  # as the architectures of a part that reads every network of transformers
ASKED_BY = ("chat_template.jinja", "chat_template.json", "generation_config.json")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class PublishedCheckpoint:
    """A folder of files that transformers saved.

    Attributes:
        name: as it was asked for: on the hub, or the folder.
        folder: where its files are: of one on the hub, the snapshot in the hub's own cache.
        revision: the hub's commit; None for a folder of one's own.
        architecture: the `model_type` of its configuration; of a pipeline its class.
        sha256: of all its files that decide what it computes: weights, configuration, tokenizer,
            processor.
        pipeline: whether it is one of diffusers, which are several networks.
    """

    name: str
    folder: Path
    revision: str | None
    architecture: str
    sha256: str = field(repr=False)
    pipeline: bool = False

    def __str__(self) -> str:
        at = f" at revision {self.revision}" if self.revision else ""
        return f"{self.name}{at}, sha256 {self.sha256[:16]}"

    def has_words(self) -> bool:
        """Whether a tokenizer lies beside the weights."""
        return any((self.folder / name).is_file() for name in WORDS)

    def has_preparation(self) -> bool:
        """Whether it is said how its images or sounds are prepared."""
        return (self.folder / _PREPARATION).is_file()


def find_checkpoint(
    name: str,
    revision: str | None = None,
    architectures: Sequence[str] = (),
    also: Sequence[str] = (),
) -> PublishedCheckpoint:
    """A checkpoint in a folder, or on the hub: what the hub's cache has is taken from there.

    Args:
        name: of a folder, or on the hub (google/vit-base-patch16-224).
        revision: a commit, branch or tag on the hub; None for its main branch.
        architectures: the model types that may be; none for any.
        also: other files that decide what it answers.
    Raises: MMBenchError if it cannot be had, has no safetensors, wants to run code of its own, or
        is of another architecture.
    """
    folder, commit = _folder(name, revision)
    if (folder / INDEX).is_file():
        return _pipeline(folder, commit, name, architectures)
    config = read_settings(folder / "config.json", name)
    _refuse_code(folder, name)
    files = [folder / "config.json", *_weights(folder, name)]
    architecture = str(config.get("model_type", "unknown"))
    if architectures and architecture not in architectures:
        other = f" The encoder {architecture} reads it." * registry.has("encoders", architecture)
        raise MMBenchError(f"{_other(name, architecture, architectures)}.{other}")
    files += [folder / file for file in (*_SETTINGS, *WORDS, *also)]
    stamps = tuple(stamp(file, folder) for file in dict.fromkeys(files) if file.is_file())
    return PublishedCheckpoint(name, folder, commit, architecture, content_hash(stamps))


def _pipeline(
    folder: Path, commit: str | None, name: str, architectures: Sequence[str]
) -> PublishedCheckpoint:
    """A pipeline of diffusers: several networks, which its index names."""
    index = read_index(folder, name)
    architecture = index.architecture
    if architectures:
        raise MMBenchError(f"{_other(name, architecture, architectures)}")
    stamps = tuple(stamp(file, folder) for file in pipeline_files(folder, index, name))
    return PublishedCheckpoint(name, folder, commit, architecture, content_hash(stamps), True)


def _other(name: str, architecture: str, architectures: Sequence[str]) -> str:
    return (
        f"the checkpoint {name} is of a network of type {architecture}, and what is to begin from "
        f"it is of type {' or '.join(architectures)}: name another checkpoint"
    )


def checkpoints_of(parts: Mapping[str, tuple[str, Any]]) -> dict[str, PublishedCheckpoint]:
    """By key, the checkpoints that parts of a recipe begin from, as `Recipe.parts` gives these."""
    found = {key: checkpoint_of(kind, part) for key, (kind, part) in parts.items()}
    return {key: checkpoint for key, checkpoint in found.items() if checkpoint is not None}


def checkpoint_of(kind: str, part: Any) -> PublishedCheckpoint | None:
    """The checkpoint that a part of a recipe begins from, if it does.

    Such a part's class says which types of networks it reads: `architectures`, in its body; "any"
    where it reads whatever transformers has.

    Args:
        kind: "encoders" or "decoders".
        part: with a name and options, of which `pretrained` names the checkpoint.
    """
    name, revision = part.options.get("pretrained"), part.options.get("revision")
    if not isinstance(name, str) or not isinstance(revision, str | None):
        return None
    architectures = class_value(*registry.location(kind, part.name), "architectures")
    if not architectures:
        return None
    if architectures == ANY:
        return find_checkpoint(name, revision, also=ASKED_BY)
    return find_checkpoint(name, revision, architectures)


def identified(kind: str, part: Any) -> dict[str, Any]:
    """The options of a part, with the hash of a checkpoint in place of its name and revision.

    So too for the checkpoint of mmbench's own that ranks what an image decoder draws.
    """
    options = dict(part.options)
    sampling = options.get("sampling")
    if isinstance(sampling, dict) and isinstance(name := sampling.get("ranked_by"), str):
        ranker = read_header(named_weights(name, RANKER_TASK, f"{kind}: ranked_by"))
        options["sampling"] = sampling | {"ranked_by": f"sha256:{ranker.sha256}"}
    checkpoint = checkpoint_of(kind, part)
    if checkpoint is None:
        return options
    options.pop("revision", None)
    return options | {"pretrained": f"sha256:{checkpoint.sha256}"}


def _folder(name: str, revision: str | None) -> tuple[Path, str | None]:
    """The folder of a checkpoint's files, and the commit of one on the hub."""
    if not name.strip():
        raise MMBenchError("`pretrained` is empty: give a folder, a name on the hub, or nothing")
    own = Path(name).expanduser()
    if own.is_file():
        raise MMBenchError(f"{name} is a file: give the folder in which it lies as `pretrained`")
    if own.is_dir():
        if revision is not None:
            raise MMBenchError(
                f"{name} is a folder, which has no revision: leave `revision` (after @) out"
            )
        return own, None
    if own.is_absolute() or not _HUB_NAME.fullmatch(name) or name[0] == ".":
        raise MMBenchError(f"no folder of a checkpoint at {name}, and no name on the hub")
    with offline_without_network() as offline:
        kept = _fetched(name, revision, only_cached=True)
        if isinstance(kept, Exception) or not _is_whole(kept):
            kept = _fetched(name, revision, only_cached=False)
    if isinstance(kept, Exception):
        at = f" at revision {revision}" if revision else ""
        raise MMBenchError(
            f"the checkpoint {name}{at} is not in the hub's cache and cannot be had from the hub: "
            + (_without_network(name) if offline else _refusal(kept))
        )
    return kept, kept.name


def _without_network(name: str) -> str:
    return (
        "it is not reached from here. Name a folder that holds it, or fetch it where there is "
        f"network: hf download {name}"
    )


def _refusal(error: Exception) -> str:
    """Why the hub gave nothing, and what to do."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "its authors let in whom they know: ask for access on its page, then `hf auth login`"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such repository, or it is private: check the name, or `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return "it has no such revision, or no more: see its branches, tags and commits there"
    return f"{in_one_line(error).rstrip('.')}. Try again, or name a folder that holds it"


def _fetched(name: str, revision: str | None, only_cached: bool) -> Path | Exception:
    """The folder of a snapshot, or why there is none; before weights, its settings are looked at.

    So no pickles are fetched, nor any weights that would be refused.
    """
    from huggingface_hub import snapshot_download

    def fetch(revision: str | None, patterns: Sequence[str]) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(patterns),
                local_files_only=only_cached,
            )
        )

    try:
        folder = fetch(revision, [*_SETTINGS, SHARDS, INDEX])
        if (folder / INDEX).is_file():
            return fetch(folder.name, pipeline_patterns(read_index(folder, name)))
        if not only_cached:
            read_settings(folder / "config.json", name)
            _refuse_code(folder, name)
        return fetch(folder.name, [*_SETTINGS, *WORDS, *ASKED_BY, SHARDS, "model*.safetensors"])
    except MMBenchError:
        raise
    except Exception as error:  # of a dozen kinds: of huggingface_hub, httpx, the file system
        return error


def _is_whole(folder: Path) -> bool:
    """Whether a snapshot in the cache holds the configuration and weights."""
    if (folder / INDEX).is_file():
        try:
            return bool(pipeline_files(folder, read_index(folder, folder.name), folder.name))
        except MMBenchError:  # which whoever asked is told, if it is so on the hub too
            return False
    return (folder / "config.json").is_file() and any(
        (folder / name).is_file() for name in (WEIGHTS, SHARDS)
    )


def _refuse_code(folder: Path, name: str) -> None:
    """Refuse a checkpoint that brings code with it, whether it would be needed or not."""
    for file in _SETTINGS:
        path = folder / file
        if path.suffix == ".json" and path.is_file() and "auto_map" in read_settings(path, name):
            raise MMBenchError(
                f"the checkpoint {name} wants to run code of its own (auto_map in {file}), which "
                "mmbench never does: name one of an architecture that transformers has"
            )
    if (folder / "adapter_config.json").is_file():
        raise MMBenchError(
            f"the checkpoint {name} holds an adapter (adapter_config.json), which would change the "
            "network unseen: name one with the adapter merged into its weights"
        )


def _weights(folder: Path, name: str) -> list[Path]:
    """The files of its weights, all safetensors."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / SHARDS).is_file():
        shards = read_settings(folder / SHARDS, name).get("weight_map")
        named = set(shards.values()) if isinstance(shards, dict) else set()
        files = sorted(f for f in named if isinstance(f, str) and Path(f).name == f)
        if not files or len(files) < len(named):
            raise MMBenchError(f"{folder / SHARDS} names no files beside it")
        if missing := [file for file in files if not (folder / file).is_file()]:
            raise MMBenchError(f"the checkpoint {name} lacks {missing[0]}, which its index names")
        return [folder / SHARDS, *(folder / file for file in files)]
    raise without_safetensors(folder, name, WEIGHTS)
