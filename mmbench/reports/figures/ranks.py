"""Critical differences: average ranks over datasets, and who cannot be told apart by them.

Numbers are those of `mmbench.statistics.ranks`; the diagram is scikit-posthocs'.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmbench.reports.captions import listed
from mmbench.reports.escape import one_line
from mmbench.reports.figures.style import Drawn, new_figure, paper_style, shortened
from mmbench.reports.layouts.options import Options, sheet_name, titles
from mmbench.reports.names import dataset_title, task_title
from mmbench.reports.table import Table
from mmbench.statistics.ranks import rank_models, why_no_ranks


def critical_differences(tables: Sequence[Table], options: Options) -> tuple[Drawn | None, str]:
    """The diagram over all datasets of one task, and why there is none otherwise.

    Args:
        tables: of one task; models that lack a dataset are left out.
    """
    datasets = {table.columns[0].dataset: table for table in tables}
    values, better = {}, {}
    for dataset, table in datasets.items():
        column = table.columns[0]
        values[dataset] = {label: cell.mean for label, cell in table.values(column).items()}
        better[dataset] = table.entries[column].higher_is_better
    everywhere = set.intersection(*map(set, values.values()))
    task = tables[0].columns[0].task
    if why := why_no_ranks(len(everywhere), len(datasets)):
        return None, f"no diagram of critical differences for {task}: {why}"
    ranks = rank_models(values, better)
    rows = {row.label: row for table in datasets.values() for row in table.rows}
    named = titles([rows[label] for label in ranks.models])
    names = [shortened(one_line(named[label]), 24) for label in ranks.models]
    import pandas as pd
    import scikit_posthocs

    apart = pd.DataFrame(1.0, index=ranks.models, columns=ranks.models)
    for (a, b), p_value in ranks.nemenyi.items():
        apart.loc[a, b] = apart.loc[b, a] = p_value
    apart.index = apart.columns = pd.Index(names)
    with paper_style():
        figure, axes = new_figure(0.7 + 0.16 * ((len(names) + 1) // 2))
        scikit_posthocs.critical_difference_diagram(
            pd.Series(ranks.average, index=names),
            apart,
            ax=axes,
            label_props={"fontsize": 7},
            elbow_props={"linewidth": 0.7},
            crossbar_props={"linewidth": 2, "color": "black"},
            marker_props={"s": 10},
            color_palette=["black"] * len(names),
        )
    tested = "below 0.0001" if ranks.p_value < 1e-4 else f"{ranks.p_value:.4f}"
    caption = (
        f"Average ranks of models over {len(datasets)} datasets of "
        f"{task_title(task).lower()} ({listed(map(dataset_title, datasets))}), best on the left. "
        f"Models that a bar joins cannot be told apart (Nemenyi, significance level "
        f"{1 - ranks.level:.2g}, critical difference {ranks.critical_difference:.2f}; Friedman's p "
        f"{tested})."
    )
    return Drawn(sheet_name("ranks", task), caption, figure), ""
