"""What is listed and shown of fusions."""

import dataclasses

import pytest

from mmbench.cli.fusions import limits
from mmbench.cli.listing import list_text
from mmbench.cli.show import show_text
from mmbench.errors import MMBenchError
from mmbench.zoo.fusion.facts import facts_of


def test_the_list_says_what_a_fusion_reads_and_costs():
    text = list_text("fusions")
    names = text.splitlines()[0].split()
    assert names[:5] == ["name", "family", "query", "contexts", "causal"]
    ban = next(line for line in text.splitlines() if line.startswith("ban "))
    assert "bilinear attention" in ban
    assert ban.split("bilinear attention")[1].split()[:5] == [
        "tokens",
        "tokens",
        "no",
        "499k",
        "37.5M",
    ]
    assert ban.endswith("token.")
    film = next(line for line in text.splitlines() if line.startswith("film "))
    assert "pooled  tokens    yes" in film
    assert "width 128" in text


def test_what_a_fusion_cannot_do():
    def shown(name):
        lines = show_text(name).splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith("  cannot "))
        last = next(i for i, line in enumerate(lines) if line.startswith("  defined in "))
        return "\n".join(lines[first:last])

    assert "text decoder" in shown("mult")
    assert "no multiple of 8" in shown("mult")
    assert "parts of a context" not in shown("mult")
    assert "text decoder" not in shown("gated")
    assert "parts of a context" in shown("gated")
    assert "how much each modality counted" not in shown("gated")
    assert "without a classifier" in shown("late_mean")
    one = dataclasses.replace(facts_of("fusions", "gated"), most_contexts=1)
    assert "join more than 1 contexts" in limits(one, shares=True)


def test_a_fusion_is_shown_with_equation_paper_and_letters():
    text = show_text("q_former", width=32)
    assert "  equation    [q; x] <- Self([q; x])" in text
    assert "arXiv 2301.12597" in text
    assert "at width 32" in text
    assert "queries=16" in text
    assert text.count("What the last layer would make of q nobody reads.") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "gated", "width": 0}, "--width must be from 1 to"),
        ({"name": "gated", "width": 10**9}, "--width must be from 1 to"),
        ({"name": "mult", "width": 30}, "heads must divide"),
        ({"name": "vqa", "width": 8}, "a task is not shown for a width: drop --width 8"),
        ({"name": "accuracy", "width": 8}, "a metric is not shown for a width"),
        ({"name": "gated_fusion", "width": 8}, "a model is not shown for a width"),
        ({"name": "easy_vqa", "width": 8}, "a dataset is not shown for a width"),
        ({"name": "gated", "task": "vqa"}, "drop --task"),
    ],
)
def test_what_is_not_shown(arguments, says):
    with pytest.raises(MMBenchError, match=says):
        show_text(**arguments)
