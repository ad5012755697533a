"""Training steps of everything that is registered: (task, objective, overrides of the recipe)."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
import torch
from torch import Tensor, nn

from mmbench import registry
from mmbench.checks.encoder import inputs, mask_of
from mmbench.recipe import FUSION_KINDS
from tests.zoo.test_encoders import encoder
from tests.zoo.test_fusion_contract import CAUSAL

BERT = {"encoders.text": {"name": "bert", "layers": 2}}
BLIP = {
    "encoders.text": {"name": "bert", "layers": 1},
    "fusion": "cross_attention",
    "decoder": "transformer",
    "stages": [{"name": "one", "objective": ["nt_xent", "itm"]}],
}
DALLE = {"decoder.name": "dalle", "encoders.text": "bag_of_words", "fusion": None}
FLAMINGO = {"decoder": {"name": "flamingo", "layers": 2}, "fusion": None}
ALIGNED = ("nt_xent", "siglip", "itm", "project")
STEPS = [
    *((task, "task", {}) for task in registry.names("tasks")),
    *((task, "simclr", {}) for task in ("captioning", "retrieval", "vqa")),
    *((task, "moco", {}) for task in ("captioning", "retrieval")),
    *(("retrieval", name, BERT) for name in ("mlm", "nsp")),
    ("generation", "mlm", BERT),
    ("vqa", "clm", {}),
    ("generation", "clm", {"encoders.text": {"name": "gpt2", "layers": 2}}),
    *((task, name, {}) for task in ("retrieval", "vqa") for name in ALIGNED),
    ("vqa", "itm", {"fusion": "co_attention"}),
    *(("captioning", name, BLIP) for name in ("nt_xent", "itm", "task")),
    ("captioning", {"project": {"by": "captioning"}}, {}),
    ("captioning", {"project": {"by": "captioning"}}, {"decoder": "gpt2"}),
    ("generation", "autoencoder", {}),
    ("generation", "autoencoder", {"decoder.name": "flow"}),
    ("generation", "task", {"decoder.name": "cnn"}),
    ("generation", "task", {"decoder.name": "flow"}),
    ("generation", "task", DALLE),
    ("captioning", "task", {"decoder": "transformer"}),
    ("captioning", "task", {"decoder": "gpt2"}),
    ("captioning", "task", {"decoder": {"name": "rnn", "attention": True}}),
    ("captioning", "clm", {"decoder": "transformer"}),
    ("captioning", "clm", FLAMINGO),
    ("captioning", "task", FLAMINGO),
    ("vqa", "task", {"encoders.text": None, **FLAMINGO}),
    ("vqa", "task", {"encoders.text": None, "decoder": "transformer"}),
    *(
        ("vqa", "task", {"encoders.image": {"name": name, **sizes}})
        for name, sizes in {
            "vit": {"layers": 2, "size": 32},
            "clip_vision": {"layers": 2, "size": 32},
            "siglip_vision": {"layers": 2, "size": 32},
            "resnet": {"layers": [1, 1], "channels": [8, 16]},
        }.items()
    ),
    *(
        ("vqa", "task", {"encoders.text": {"name": name, "layers": 2}})
        for name in ("bert", "gpt2", "clip_text")
    ),
    *(
        ("vqa", "task", {"fusion": fusion})
        for kind in FUSION_KINDS
        for fusion in registry.names(kind)
    ),
    *(("captioning", "task", {"fusion": fusion}) for fusion in CAUSAL),
]


def named(step: tuple) -> str:
    """What a test calls a step."""
    task, objective, overrides = step
    return " ".join([task, str(objective), *map(str, overrides.values())])


def each_step(besides: Collection[str] = ()) -> pytest.MarkDecorator:
    """A test of each step but some, by name; what fusions do in captions is left to whole runs,
    since each has a step in questions.
    """
    of_captions = {named(("captioning", "task", {"fusion": fusion})) for fusion in CAUSAL}
    steps = [
        pytest.param(
            step, marks=pytest.mark.whole if named(step) in of_captions else (), id=named(step)
        )
        for step in STEPS
        if named(step) not in besides
    ]
    return pytest.mark.parametrize("step", steps)


SMALLER = {"resnet": {"layers": [1, 1], "channels": [8, 16]}}  # deep, it says more of its norms
TRAINED = [name for name in registry.names("encoders") if not getattr(encoder(name), "frozen", 0)]


def encoder_step(name: str) -> tuple[nn.Module, dict[str, Tensor], Callable[..., Tensor]]:
    """An encoder, what it reads, and a loss of what it makes of that."""
    module = encoder(name, **SMALLER.get(name, {})).train()
    read = {"x": inputs(module.modality, 8)}
    if module.modality in ("image", "video"):  # larger squares than pixels, as pictures have
        squares = read["x"][..., ::16, ::16]
        read["x"] = squares.repeat_interleave(16, -1).repeat_interleave(16, -2)
    if (mask := mask_of(module.modality, 8)) is not None:
        read["mask"] = mask
    shape = module(**read).tokens.shape
    read["direction"] = torch.randn(shape, generator=torch.Generator().manual_seed(1))

    def loss(x: Tensor, direction: Tensor, mask: Tensor | None = None) -> Tensor:
        return (module(x, mask).clean().float() * direction).sum()

    return module, read, loss
