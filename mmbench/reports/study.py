"""A study as text for the terminal: its tables, then what holds over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.reports.comparison import comparison_text
from mmbench.reports.escape import one_line
from mmbench.reports.robustness import robustness_text

if TYPE_CHECKING:
    from mmbench.experiments.study import StudyResult
    from mmbench.experiments.study_plan import StudyPlan
    from mmbench.statistics.ranks import Ranks


def study_result_text(result: StudyResult) -> str:
    """A table for each dataset and metric; below several, what was found over all."""
    parts = [comparison_text(table) for table in result.tables]
    if facts := study_facts(result):
        head = "over all tables" if len(result.tables) > 1 else "besides"
        lines = [f"  {name:<10}  {one_line(words)}" for name, words in facts]
        parts.append("\n".join([head, *lines]))
    for title, robustness in result.robustness.items():
        head = f"{one_line(title)}\n" if len(result.robustness) > 1 else ""
        parts.append(head + robustness_text(robustness))
    return "\n\n".join(parts)


def study_facts(result: StudyResult) -> list[tuple[str, str]]:
    """What holds over all tables, and why there is none of a dataset, under a word each."""
    facts: list[tuple[str, str]] = []
    if len(result.tables) > 1:
        facts.append(("found", result.family.verdict))
        references = {model for table in result.tables for model in table.references}
        models = {e.model for e in result.family.estimates} - references
        facts += [("", words) for words in result.family.over_columns(models)]
    for title, why in result.left_out.items():
        facts.append(("no table", f"{title}: {why}"))
    if result.ranks is not None:
        facts += _ranks(result.ranks)
    elif result.no_ranks:
        facts.append(("ranks", f"not told: {result.no_ranks}"))
    return facts


def plan_text(plan: StudyPlan) -> str:
    """What a study will take, a line a fact."""
    facts = [("models", f"{name}: {', '.join(models)}") for name, models in plan.models.items()]
    facts.append(("seeds", ", ".join(map(str, plan.seeds))))
    facts += plan.facts
    facts += [("new", words) for words in plan.new_by_reason()]
    facts += [("warning", words) for words in plan.warnings]
    facts.append(("plan", plan.summary()))
    head = [one_line(plan.title)] if plan.title else []
    return "\n".join(head + [f"  {name:<10}  {one_line(words)}" for name, words in facts])


def _ranks(ranks: Ranks) -> list[tuple[str, str]]:
    """Lines of average ranks, of Friedman's test, and of who cannot be told apart."""
    pairs = zip(ranks.models, ranks.average, strict=True)
    shown = ", ".join(f"{model} {rank:.2f}" for model, rank in pairs)
    lines = [
        ("ranks", f"mean over {len(ranks.datasets)} datasets, 1 is best: {shown}"),
        (
            "",
            f"Friedman's chi-square {ranks.statistic:.2f}, p {ranks.p_value:.4f}; by Nemenyi, "
            f"ranks less than {ranks.critical_difference:.2f} apart cannot be told apart",
        ),
    ]
    if groups := ranks.together():
        lines.append(("", "not told apart: " + "; ".join(", ".join(group) for group in groups)))
    return lines
