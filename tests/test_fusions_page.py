"""docs/fusions.md is what its command makes, and what it says of other collections is true."""

import re
from collections import Counter

import pytest
from markdown_it import MarkdownIt

from docs.make_fusions import FOLDER, PAGE, SECTIONS, SOURCE, page
from mmbench import registry

SOURCE_TEXT = SOURCE.read_text(encoding="utf-8")
# What the collections themselves register, by the heading of their table.
METHODS = {
    "MultiBench": "Concat ConcatEarly Stack ConcatWithLinear MultiplicativeInteractions2Modal "
    "MultiplicativeInteractions3Modal TensorFusion LowRankTensorFusion NLgate MULTModel "
    "EarlyFusionTransformer LateFusionTransformer MVAE MCTN Searchable",
    "MultiBench++": "Concat TensorFusion ConcatEarly LateFusionTransformer "
    "HierarchicalAttentionOneToMulti CrossAttentionFusion CrossAttentionConcatFusion "
    "MultiModalCrossAttentionFusion MultiModalCrossAttentionConcatFusion EarlyFusionTransformer "
    "TMC LateFusion HierarchicalAttentionMultiToOne",
    "Fusion or Confusion?": "arl aug bmml coupled_ssm dgl gblend imder lmf mbt mmp mmpareto mult "
    "ogm omib pdf regbn shaspec transformer",
    "MMF": "block block_tucker mutan tucker mlb mfb mfh mcb linear_sum concat_mlp",
    "torchmultimodal": "AttentionFusionModule ConcatFusionModule DeepsetFusionModule "
    "DeepsetFusionWithTransformer",
}


def test_the_page_is_what_its_command_makes():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python docs/make_fusions.py`"


def test_the_page_reads_as_it_is_meant():
    made = MarkdownIt("commonmark").enable("table").render(PAGE.read_text(encoding="utf-8"))
    fusions = [*registry.names("fusions"), *registry.names("late_fusions")]
    assert made.count("<pre>") == len(fusions)
    assert made.count("<table>") == len(SECTIONS) + len(METHODS)
    assert all(f"<strong><code>{name}</code></strong>" in made for name in fusions)


def test_every_picture_is_there_and_small():
    for section in SECTIONS:
        picture = FOLDER / "images" / f"fusion_{section.picture}.svg"
        assert picture.read_text(encoding="utf-8").startswith("<?xml")
        assert picture.stat().st_size < 20_000


def rows(heading):
    """The rows of the table below a heading: what is there, and what it is here."""
    text = SOURCE_TEXT.split(f"### {heading}\n")[1].split("\n### ")[0]
    found = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert all(len(row) == 2 for row in found)
    return found[2:]


@pytest.mark.parametrize("heading", METHODS)
def test_every_method_of_a_collection_has_one_row(heading):
    named = Counter(name for there, _ in rows(heading) for name in re.findall(r"`(\w+)`", there))
    for method in METHODS[heading].split():
        assert named[method] == 1, method


@pytest.mark.parametrize("heading", METHODS)
def test_what_a_method_is_here_is_registered_or_left_out_for_a_reason(heading):
    kinds = [k for k in ("fusions", "late_fusions", "balance") if k in registry.CODE_KINDS]
    options = ("matrix", "vector", "scalar", "rank", "balance")
    for there, here in rows(heading):
        for name in re.findall(r"`([a-z_]+)`", here):
            assert name in options or any(registry.has(kind, name) for kind in kinds), name
        assert "`" in here or here.startswith("left out: "), there
