"""What a fusion says that it costs is what is counted."""

from __future__ import annotations

import pytest
import torch

from mmbench import registry
from mmbench.experiments.operations import operations_of
from mmbench.zoo.stream import Stream

SIZES = [
    {"dim": 16, "modalities": 2, "positions": 1, "tokens": 5},
    {"dim": 32, "modalities": 3, "positions": 4, "tokens": 7},
]


@pytest.mark.parametrize("sizes", SIZES, ids=["two modalities", "three modalities"])
@pytest.mark.parametrize("name", registry.names("fusions"))
def test_the_formulas_are_what_is_counted(name, sizes):
    cls = registry.load("fusions", name)
    contexts = sizes["modalities"] - 1
    if cls.cost is None or (cls.most_contexts is not None and contexts > cls.most_contexts):
        assert not cls.__module__.startswith("mmbench.") or cls.cost is not None
        return
    dim, tokens = sizes["dim"], sizes["tokens"] if cls.context_form == "tokens" else 1
    fusion = cls(dim, [f"context_{i}" for i in range(contexts)]).eval()
    query = Stream.whole(torch.randn(1, sizes["positions"], dim))
    streams = [Stream.whole(torch.randn(1, tokens, dim)) for _ in range(contexts)]
    parameters, operations = cls.cost.at(cls, **sizes | {"tokens": tokens})
    assert parameters == sum(p.numel() for p in fusion.parameters())
    assert operations == operations_of(lambda: fusion(query, streams))


@pytest.mark.parametrize("name", registry.names("late_fusions"))
def test_the_formulas_of_fusions_of_decisions_are_what_is_counted(name):
    cls = registry.load("late_fusions", name)
    if cls.cost is None:
        assert not cls.__module__.startswith("mmbench.")
        return
    assert cls.family
    fusion = cls(["one", "two", "three"]).eval()
    logits = [torch.randn(1, 7) for _ in range(3)]
    present = [torch.ones(1, dtype=torch.bool)] * 3
    parameters, operations = cls.cost.at(cls, dim=16, modalities=3, positions=1, tokens=1)
    assert parameters == sum(p.numel() for p in fusion.parameters())
    assert operations == operations_of(lambda: fusion(logits, present))
