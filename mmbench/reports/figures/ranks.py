"""Critical differences: average ranks over datasets, and who cannot be told apart by them.

Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006;
Friedman's test by scipy, Nemenyi's and the diagram by scikit-posthocs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmbench.reports.captions import listed
from mmbench.reports.escape import one_line
from mmbench.reports.figures.style import Drawn, new_figure, paper_style, shortened
from mmbench.reports.layouts.options import Options, sheet_name, titles
from mmbench.reports.names import dataset_title, task_title
from mmbench.reports.table import Table

LEAST = 6  # datasets: with fewer, hardly any ranks could differ enough


def critical_differences(tables: Sequence[Table], options: Options) -> tuple[Drawn | None, str]:
    """The diagram over all datasets of one task, and why there is none otherwise.

    Args:
        tables: of one task; models that lack a dataset are left out.
    """
    datasets = {table.columns[0].dataset: table for table in tables}
    rows = {row.label: row for table in datasets.values() for row in table.rows}
    everywhere = [
        label
        for label in rows
        if all(
            any(r.label == label and t.columns[0] in r.cells for r in t.rows)
            for t in datasets.values()
        )
    ]
    task = tables[0].columns[0].task
    if len(datasets) < LEAST:
        return None, (
            f"no diagram of critical differences for {task}: it needs {LEAST} datasets, and there "
            f"are {len(datasets)}; with fewer, hardly any ranks could differ enough"
        )
    if len(everywhere) < 3:
        return None, (
            f"no diagram of critical differences for {task}: it needs three models that were run "
            f"on all {len(datasets)} datasets, and there are {len(everywhere)}"
        )
    named = titles([rows[label] for label in everywhere])
    scores = np.array(
        [[_score(table, label) for label in everywhere] for table in datasets.values()]
    )
    import pandas as pd
    import scikit_posthocs
    from scipy.stats import friedmanchisquare, rankdata

    ranks = rankdata(-scores, axis=1).mean(axis=0)
    p_value = float(friedmanchisquare(*scores.T).pvalue)
    names = [shortened(one_line(named[label]), 24) for label in everywhere]
    apart = scikit_posthocs.posthoc_nemenyi_friedman(scores)
    apart.index = apart.columns = pd.Index(names)
    with paper_style():
        figure, axes = new_figure(0.7 + 0.16 * ((len(names) + 1) // 2))
        scikit_posthocs.critical_difference_diagram(
            pd.Series(ranks, index=names),
            apart,
            ax=axes,
            label_props={"fontsize": 7},
            elbow_props={"linewidth": 0.7},
            crossbar_props={"linewidth": 2, "color": "black"},
            marker_props={"s": 10},
            color_palette=["black"] * len(names),
        )
    caption = (
        f"Average ranks of models over {len(datasets)} datasets of "
        f"{task_title(task).lower()} ({listed(map(dataset_title, datasets))}), best on the left. "
        f"Models that a bar joins cannot be told apart (Nemenyi, significance level 0.05; "
        f"Friedman's p {'below 0.0001' if p_value < 1e-4 else f'{p_value:.4f}'})."
    )
    return Drawn(sheet_name("ranks", task), caption, figure), ""


def _score(table: Table, label: str) -> float:
    column = table.columns[0]
    sign = 1 if table.entries[column].higher_is_better else -1
    return sign * next(row for row in table.rows if row.label == label).cells[column].mean
