"""Writes docs/fusions.md: docs/fusions_source.md, and in it what each fusion's source says.

    python docs/make_fusions.py

A fusion of another package, installed here, is left out. The pictures are drawn by
docs/fusion_pictures.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import NamedTuple

from mmbench import registry
from mmbench.reports.counts import count
from mmbench.zoo.fusion.facts import MODALITIES, POSITIONS, TOKENS, WIDTH, Facts, facts_of

FOLDER = Path(__file__).parent
PAGE = FOLDER / "fusions.md"
SOURCE = FOLDER / "fusions_source.md"  # written by hand


class Section(NamedTuple):
    """Fusions of one kind: title, what they share, the picture's name, and the families."""

    title: str
    about: str
    picture: str
    families: tuple[str, ...]


LATE = "fusions of decisions"
SECTIONS = [
    Section(
        "Vectors joined",
        "One vector of each modality, side by side or added up, and a layer. What one modality"
        " says changes little in how another is read: they meet in the relu alone.",
        "joined",
        ("concatenation", "sum"),
    ),
    Section(
        "Vectors weighed",
        "A gate of each feature, or a score of each vector, says how much of each modality passes."
        " The shares are known, and a run's record has their mean.",
        "weighed",
        ("gating", "attention over modalities"),
    ),
    Section(
        "Products",
        "Features of the modalities are multiplied, so that each says how another is read. The"
        " outer product holds all pairs of features and is too large; most differ in how they"
        " approximate it.",
        "products",
        ("bilinear", "tensor product"),
    ),
    Section(
        "Modulation",
        "The query, as one vector, makes gains and shifts of the features of each token of the"
        " context.",
        "modulation",
        ("modulation",),
    ),
    Section(
        "The query attends",
        "Each position of the query looks at the tokens of all contexts, and not at other"
        " positions. So it can stand in a text decoder as it is.",
        "attends",
        ("cross-attention",),
    ),
    Section(
        "Attention both ways",
        "The tokens of the query and of the contexts look at each other, each stream with layers"
        " of its own, or all pairs of them share one map. A later word would change what an"
        " earlier one sees: none of these can write text.",
        "both_ways",
        ("co-attention", "crossmodal pairs", "bilinear attention"),
    ),
    Section(
        "One stream",
        "The tokens of all modalities, or one of each, in one row, through one Transformer.",
        "one_stream",
        ("single stream", "prefix"),
    ),
    Section(
        "Through a few tokens",
        "A few learnt tokens gather what there is, and the query looks at these.",
        "few_tokens",
        ("bottleneck", "resampler"),
    ),
    Section(
        "At the decision",
        "A classifier of each modality decides by itself, and the decisions are joined. For tasks"
        " with logits; named in a recipe as the others are (`mmbench list late_fusions`). Costs"
        " are those of joining, besides the classifiers.",
        "decision",
        (LATE,),
    ),
]


def page() -> str:
    """The text of docs/fusions.md.

    Raises: ValueError for a family that stands in no section.
    """
    found = [
        facts_of(kind, name)
        for kind in ("fusions", "late_fusions")
        for name in registry.names(kind)
        if registry.location(kind, name)[0].startswith("mmbench.")
    ]
    known = {family for section in SECTIONS for family in section.families}
    if strange := {_family(facts) for facts in found} - known:
        raise ValueError(f"no section of docs/make_fusions.py has the family {strange.pop()}")
    sections = [
        _section(section, [f for f in found if _family(f) in section.families])
        for section in SECTIONS
    ]
    return Template(SOURCE.read_text(encoding="utf-8")).substitute(
        fusions="\n".join(sections),
        width=WIDTH,
        modalities=MODALITIES,
        positions=POSITIONS,
        tokens=TOKENS,
    )


def _family(facts: Facts) -> str:
    return LATE if facts.kind == "late_fusions" else facts.family


def _section(section: Section, fusions: list[Facts]) -> str:
    lines = [
        f"## {section.title}\n",
        f"{section.about}\n",
        f"![{section.title}](images/fusion_{section.picture}.svg)\n",
        "| fusion | family | query, contexts | in a text decoder | parameters | operations |",
        "| --- | --- | --- | --- | --: | --: |",
        *map(_row, fusions),
        "",
        *map(_entry, fusions),
    ]
    return "\n".join(lines)


def _row(facts: Facts) -> str:
    late = facts.kind == "late_fusions"
    costs = facts.cost_at()
    cells = [
        f"`{facts.name}`",
        facts.family,
        "logits" if late else f"{facts.query_form}, {facts.context_form}",
        "yes" if facts.causal else "no",
        *(["", ""] if costs is None else map(count, costs)),
    ]
    return "| " + " | ".join(cells) + " |"


def _entry(facts: Facts) -> str:
    """Its equation and its paper; arXiv numbers lead there."""
    paper = re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", facts.source)
    paper = paper[:1].upper() + paper[1:]
    return f"- **`{facts.name}`**: {facts.title}\n\n      {facts.equation}\n\n  {paper}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
