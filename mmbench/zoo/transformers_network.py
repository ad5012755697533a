"""Networks that transformers has: made from a configuration, or begun from a published checkpoint.

Of a checkpoint nothing is trained unless a recipe asks for it: all of the network, its last layers,
or adapters of low rank beside its weights (Hu et al., LoRA, 2021, arXiv 2106.09685).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import nn

from mmbench.errors import MMBenchError, ToolError, in_one_line
from mmbench.published_checkpoint import PublishedCheckpoint, find_checkpoint
from mmbench.yaml_file import Settings

_LAST = re.compile(r"last_([1-9]\d*)")


class LoRA(Settings):
    """Adapters of low rank on every linear layer of a frozen network (extra `lora`).

    Attributes:
        rank: r of W + (alpha / r) B A.
        alpha: of the same.
    """

    rank: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)


@dataclass(frozen=True)
class Start:
    """What a network begins from, and what of it is trained.

    Attributes:
        pretrained: a folder that holds a checkpoint, or its name on the hub; None for a network
            from nothing, all of which is trained.
        revision: on the hub.
        unfreeze: "none", "all", or "last_2": the last two layers and what follows them.
        lora: adapters that are trained while the network itself is not.
    """

    pretrained: str | None = None
    revision: str | None = None
    unfreeze: str = "none"
    lora: LoRA | None = None

    def __post_init__(self) -> None:
        check_unfreeze(self.unfreeze)
        asked = {"revision": self.revision, "lora": self.lora}
        given = [name for name, value in asked.items() if value is not None]
        given += ["unfreeze"] * (self.unfreeze != "none")
        if self.pretrained is None and given:
            raise ValueError(
                f"{given[0]} is for a network that begins from a checkpoint: name one as "
                "`pretrained`, or leave it out"
            )
        if self.lora is not None and self.unfreeze != "none":
            raise ValueError(
                f"lora trains adapters of a frozen network: leave `unfreeze: {self.unfreeze}` out"
            )


@dataclass(frozen=True)
class Network:
    """A network of transformers, in float32.

    Attributes:
        module: the network.
        checkpoint: that it begins from; None if from nothing.
        trained: by name, those of its modules that are trained; None for all of it.
    """

    module: Any
    checkpoint: PublishedCheckpoint | None
    trained: Mapping[str, nn.Module] | None


def make_network(
    cls: Any,
    configuration: Callable[[], Any],
    start: Start,
    architectures: tuple[str, ...],
    options: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Network:
    """A network of a class of transformers.

    Args:
        cls: of the network, such as `ViTModel`.
        configuration: makes its configuration, where it begins from nothing.
        start: what it begins from.
        architectures: the types of checkpoints that it can begin from.
        options: of its constructor.
        changes: to a checkpoint's configuration.
    Raises: MMBenchError for a checkpoint that cannot be had, is of another architecture, or lacks
        weights; ValueError for sizes out of range.
    """
    if start.pretrained is None:
        given = configuration()
        given._attn_implementation = _attention(cls)
        return Network(cls(given, **(options or {})), None, None)
    checkpoint = find_checkpoint(start.pretrained, start.revision, architectures)
    with torch.random.fork_rng(devices=[]):  # the rest starts alike whatever loading draws
        module = _loaded(cls, checkpoint, {**(options or {}), **(changes or {})})
    return Network(module, checkpoint, _trained(module, start))


def gpt2_configuration(sizes: Mapping[str, Any], words: Mapping[str, Any]) -> Any:
    """The configuration of a GPT-2 from nothing, which drops nothing out.

    Args:
        sizes: see `transformer_sizes`.
        words: see `words_of`.
    """
    from transformers import GPT2Config

    return GPT2Config(
        n_embd=sizes["hidden_size"],
        n_layer=sizes["num_hidden_layers"],
        n_head=sizes["num_attention_heads"],
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **words,
    )


def own_sizes_only(cls: type, start: Start, sizes: Mapping[str, Any]) -> None:
    """Raise ValueError where a recipe gives sizes to a network that has its checkpoint's.

    Args:
        cls: of the part, whose constructor says what is no choice.
        start: what its network begins from.
        sizes: as the recipe gives them, by the names of the constructor.
    """
    defaults = inspect.signature(cls).parameters
    for name, value in sizes.items():
        if start.pretrained is not None and value != defaults[name].default:
            raise ValueError(
                f"{name} is of a network from nothing, and a checkpoint has its own: leave "
                f"`{name}: {value}` or `pretrained` out"
            )


def transformer_sizes(dim: int, hidden: int | None, layers: int, heads: int) -> dict[str, Any]:
    """A Transformer's sizes, as transformers' configurations call them.

    Args:
        dim: its width where `hidden` is None.
        hidden, layers, heads: as a recipe gives them.
    Raises: ValueError for sizes out of range.
    """
    hidden = dim if hidden is None else hidden
    for name, value in (("hidden", hidden), ("layers", layers), ("heads", heads)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if hidden % heads:
        raise ValueError(f"heads must divide the hidden width {hidden}, got {heads}")
    return {
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


def unit_start(dim: int, hidden: int | None) -> dict[str, Any]:
    """Weights that start at a deviation of 1 / sqrt(width), for layers that keep what they read.

    transformers starts every width at 0.02, chosen for one of 768. At 128, where a layer then gives
    a quarter of what it reads, `vit` had 53.3 on `interactions` after 12 epochs, of chance's 50 and
    the 75 that can be had; from this start it had 63.0 after 6 (seed 0, two layers).

    Args:
        dim: the width where `hidden` is None.
        hidden: as a recipe gives it.
    """
    return {"initializer_range": max(1, dim if hidden is None else hidden) ** -0.5}


NO_DROPOUT: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def words_of(count: int, longest: int) -> dict[str, Any]:
    """What a network from nothing reads, as transformers' configurations call it.

    No number of a word means anything but a word: what is there is said by the mask.

    Args:
        count: of words.
        longest: the most of a text.
    Raises: ValueError for a length out of range.
    """
    if longest < 1:
        raise ValueError(f"longest must be at least 1, got {longest}")
    special = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
    return {"vocab_size": count, "max_position_embeddings": longest, **special}


def read_preparation(checkpoint: PublishedCheckpoint, kind: str) -> Any:
    """A checkpoint's own tokenizer, or what prepares its images or sounds.

    Args:
        kind: "tokenizer", "image processor" or "feature extractor".
    Raises: MMBenchError if it has none.
    """
    from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoTokenizer

    makers: dict[str, Any] = {
        "image processor": AutoImageProcessor,
        "feature extractor": AutoFeatureExtractor,
    }
    there = checkpoint.has_words() if kind == "tokenizer" else checkpoint.has_preparation()
    if not there:
        raise MMBenchError(
            f"the checkpoint {checkpoint.name} comes without its {kind}, so that it is not known "
            f"what it reads: save the {kind} beside the weights (save_pretrained)"
        )
    # PIL's resize, as the original; the one on tensors rounds otherwise.
    options = {"backend": "pil"} if kind == "image processor" else {}
    with quiet():
        try:
            return makers.get(kind, AutoTokenizer).from_pretrained(
                str(checkpoint.folder), trust_remote_code=False, local_files_only=True, **options
            )
        except Exception as error:  # whatever files from elsewhere make transformers raise
            raise _unusable(checkpoint, f"its {kind} cannot be read", error) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Within, transformers draws no bars and reports nothing but errors."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _loaded(cls: Any, checkpoint: PublishedCheckpoint, options: Mapping[str, Any]) -> Any:
    with quiet():
        try:
            module, report = cls.from_pretrained(
                str(checkpoint.folder),
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
                attn_implementation=_attention(cls),
                **options,
            )
        except MMBenchError:  # the model is too large
            raise
        except Exception as error:  # whatever files from elsewhere make transformers raise
            raise _unusable(checkpoint, "its network cannot be loaded", error) from None
    if missing := sorted(report["missing_keys"]):
        raise MMBenchError(
            f"the checkpoint {checkpoint.name} lacks {len(missing)} of the network's weights, such "
            f"as {missing[0]}: it is of another network"
        )
    return module


def _attention(cls: Any) -> str:
    """By what its attention is computed: torch's own where it has any."""
    return "sdpa" if cls._supports_sdpa else "eager"


def _unusable(checkpoint: PublishedCheckpoint, what: str, error: Exception) -> MMBenchError:
    return MMBenchError(f"the checkpoint {checkpoint.name}: {what}: {in_one_line(error)}")


def _trained(module: Any, start: Start) -> dict[str, nn.Module] | None:
    """Those modules of a pretrained network that are trained, by name; None for all."""
    if start.lora is not None:
        return _with_adapters(module, start.lora)
    return unfrozen(module, start.unfreeze)


def check_unfreeze(unfreeze: str) -> None:
    """Raise ValueError for what says nothing of which layers are trained."""
    if unfreeze not in ("none", "all") and not _LAST.fullmatch(unfreeze):
        raise ValueError(
            f"unfreeze must be none, all, or last_ and how many layers (last_2), got '{unfreeze}'"
        )


def unfrozen(module: nn.Module, unfreeze: str) -> dict[str, nn.Module] | None:
    """Those modules of a network that are trained, by name; None for all.

    Args:
        module: whose layers are in its first list of modules.
        unfreeze: "none", "all", or "last_2": the last two layers and what follows them.
    Raises: ValueError for more layers than there are.
    """
    if unfreeze == "all":
        return None
    if unfreeze == "none":
        return {}
    path, layers = _layers(module)
    count = int(unfreeze.removeprefix("last_"))
    if count > len(layers):
        raise ValueError(f"unfreeze must be at most last_{len(layers)}, the network's layers")
    chosen = {f"{path}.{at}": layers[at] for at in range(len(layers) - count, len(layers))}
    return chosen | dict(_following(module, path))


def _layers(module: nn.Module) -> tuple[str, nn.ModuleList]:
    """The network's layers, one after the other: the first list of modules in it."""
    found = ((n, m) for n, m in module.named_modules() if isinstance(m, nn.ModuleList))
    return next(found)


def _following(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules with weights that stand after the one at a path, at each level."""
    above = ""
    for step in path.split("."):
        children = list(module.get_submodule(above).named_children())
        place = [name for name, _ in children].index(step)
        for name, child in children[place + 1 :]:
            if any(True for _ in child.parameters()):
                yield f"{above}.{name}".lstrip("."), child
        above = f"{above}.{step}".lstrip(".")


def _with_adapters(module: Any, lora: LoRA) -> dict[str, nn.Module]:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ToolError(
            f"lora needs {error.name}, which is not installed: pip install 'mmbench[lora]'"
        ) from None
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        target_modules="all-linear",
        fan_in_fan_out=any(type(part).__name__ == "Conv1D" for part in module.modules()),
    )
    inject_adapter_in_model(config, module)
    return {
        name: part for name, part in module.named_modules() if name.endswith((".lora_A", ".lora_B"))
    }
