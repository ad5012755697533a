"""Training steps of everything that is registered: (task, objective, overrides of the recipe)."""

from __future__ import annotations

from mmbench import registry
from mmbench.recipe import FUSION_KINDS
from tests.zoo.test_fusion_contract import CAUSAL

STEPS = [
    *((task, "task", {}) for task in registry.names("tasks")),
    *((task, "simclr", {}) for task in ("captioning", "retrieval", "vqa")),
    ("generation", "autoencoder", {}),
    ("generation", "autoencoder", {"decoder.name": "cnn"}),
    ("generation", "task", {"decoder.name": "cnn"}),
    ("captioning", "task", {"decoder": "transformer"}),
    ("captioning", "task", {"decoder": "gpt2"}),
    ("captioning", "task", {"decoder": {"name": "rnn", "attention": True}}),
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
    return " ".join([task, objective, *map(str, overrides.values())])
