"""What is told of a fusion without importing it is what the class says when it is imported."""

from __future__ import annotations

import inspect
import re

import pytest

from mmbench import registry
from mmbench.cli.fusions import KINDS
from mmbench.cli.show import show_text
from mmbench.errors import MMBenchError
from mmbench.sources import class_value, home_of
from mmbench.zoo.fusion.facts import facts_of

REGISTERED = [(kind, name) for kind in KINDS for name in registry.names(kind)]


@pytest.mark.parametrize(("kind", "name"), REGISTERED, ids=[name for _, name in REGISTERED])
def test_what_the_source_says_is_what_the_class_has(kind, name):
    facts, cls = facts_of(kind, name), registry.load(kind, name)
    doc = inspect.getdoc(cls)
    assert facts.equation == doc.splitlines()[0]
    assert doc.splitlines()[-1] in f"{facts.equation}\n{facts.notes}"
    for attribute in ("family", "query_form", "context_form", "causal", "most_contexts", "cost"):
        assert getattr(facts, attribute) == getattr(cls, attribute, None) or (
            not getattr(facts, attribute) and not hasattr(cls, attribute)
        )
    defaults = {
        p.name: p.default
        for p in inspect.signature(cls.__init__).parameters.values()
        if p.default is not p.empty
    }
    assert facts.options == defaults


@pytest.mark.parametrize(("kind", "name"), REGISTERED, ids=[name for _, name in REGISTERED])
def test_every_fusion_of_our_own_names_its_equation_and_paper(kind, name):
    facts = facts_of(kind, name)
    if registry.location(kind, name)[0].startswith("mmbench."):
        assert "=" in facts.equation or "<-" in facts.equation or "~" in facts.equation
        assert re.search(r"\d{4}", facts.source)
        assert facts.title


@pytest.fixture
def their_package(tmp_path, monkeypatch):
    """A package of somebody else's whose modules cannot be imported."""
    folder = tmp_path / "their_fusions"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "front.py").write_text("from .one import Absolute as Ours, Gone\n")
    (folder / "bases.py").write_text("class Base:\n    family = 'theirs'\n    causal = False\n")
    (folder / "one.py").write_text(
        "import no_such_module\n"
        "from no_such_module import Other\n"
        "from their_fusions.bases import Base as TheirBase\n"
        "from .bases import Base\n"
        "class Absolute(Other, TheirBase):\n    causal = True\n"
        "class Relative(Base):\n    family = 'own'\n"
        "class Nothing(no_such_module.Base): ...\n"
        "class Other(Other): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "their_fusions.one"


def test_a_value_of_a_base_is_found_without_importing_either(their_package):
    def value(cls, name, inherited=True):
        return class_value(their_package, cls, name, inherited)

    assert (value("Absolute", "family"), value("Absolute", "causal")) == ("theirs", True)
    assert (value("Relative", "family"), value("Relative", "causal")) == ("own", False)
    assert value("Absolute", "family", inherited=False) is None
    assert value("Nothing", "family") is None
    assert value("Other", "family") is None
    assert class_value("no_such_module", "A", "family") is None


def test_a_class_is_found_where_it_is_written(their_package):
    assert home_of("their_fusions.front", "Ours") == (their_package, "Absolute")
    assert home_of(their_package, "Relative") == (their_package, "Relative")
    assert home_of("their_fusions.front", "Gone") == (their_package, "Gone")


def test_a_formula_that_names_what_is_not_there_is_an_error():
    from mmbench.zoo.fusion.cost import Cost

    with pytest.raises(MMBenchError, match=r"blocks\*D.*cannot be computed.*blocks"):
        Cost("blocks*D", "0").of(4, 2, 1, 1)


# By name and width: parameters, operations. Two modalities. A fusion of vectors is told for one
# position of the query; one that reads tokens for 16 of them and 64 tokens of the context.
BY_HAND = {
    # W is 128 x 256, with 128 biases. Its half for the query and its half for the context meet a
    # vector each: 2 * 128 * 128 twice.
    ("concat", 128): (32_768 + 128, 32_768 + 32_768),
    # Two projections of 128 x 128 + 128, a gate of 256 x 256 + 256.
    ("gated", 128): (2 * 16_512 + 65_792, 2 * 32_768 + 2 * 65_536),
    # Two projections and P, each 64 x 64 + 64, each for one vector.
    ("hadamard", 64): (3 * 4_160, 3 * 8_192),
    # Outside of the layers a modality's vector of 128 and two norms of 256.
    # A layer: query, value and mix 16,512 each, key without bias 16,384, two norms of 256 each,
    # 128 x 512 + 512 = 66,048 and 512 x 128 + 128 = 65,664: 198,144.
    # Operations: query and mix 16 * 32,768 each, key and value 64 * 32,768 each; scores and what
    # they weigh 2 * 16 * 64 * 128 = 262,144 each; feed-forward 2 * 16 * 2 * 65,536 = 4,194,304.
    ("cross_attention", 128): (
        128 + 2 * 256 + 3 * 198_144,
        3 * (2 * 524_288 + 2 * 2_097_152 + 2 * 262_144 + 4_194_304),
    ),
    # A modality's vector of 128; 128 x 1,024 + 1,024 of modulation (4 blocks of 2 x 128); in each
    # block 16,512 and, without bias, 16,384; 16,512 at the end.
    # Operations: 2 * 131,072 once for the query; in each block twice 64 * 32,768; once 32,768.
    ("film", 128): (
        128 + 132_096 + 4 * (16_512 + 16_384) + 16_512,
        262_144 + 4 * 2 * 2_097_152 + 32_768,
    ),
}


@pytest.mark.parametrize(("name", "width"), BY_HAND)
def test_show_gives_the_cost_that_is_counted_by_hand(name, width):
    text = show_text(name, width=width)
    number = r"([\d,]+) by formula, ([\d,]+) counted"
    for key, expected in zip(("parameters", "operations"), BY_HAND[name, width], strict=True):
        found = re.search(rf"^  {key} +{number}", text, re.MULTILINE)
        assert [int(n.replace(",", "")) for n in found.groups()] == [expected, expected]
