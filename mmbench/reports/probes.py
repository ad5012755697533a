"""`report --layout probes`: what encoders know, from the records that `mmbench probe` left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmbench.errors import MMBenchError
from mmbench.records.probe_record import ProbeRecord, find_probes, read_probe
from mmbench.reports.captions import listed
from mmbench.reports.document import Data, Document, Signature
from mmbench.reports.layouts.options import sheet_name
from mmbench.reports.names import dataset_title, full_metric_title, model_title
from mmbench.reports.sheet import Head, Line, Number, Sheet, Shown
from mmbench.statistics.holm import holm

PROBES = "probes"  # the layout's name
_ALPHA = 0.05
_FEATURES = {"encoder": "Encoder", "random": "Random weights", "raw": "What it reads"}


def probes_document(
    paths: Sequence[Path], style: str, spread: str, left_out: list[str]
) -> Document:
    """A table for each kind of probe, dataset, split, target and modality.

    Args:
        paths: folders of records, searched at any depth.
        style, spread: of the report.
        left_out: why records cannot be read is added to it.
    Raises: MMBenchError if there is none.
    """
    records = []
    for folder in find_probes(paths):
        try:
            records.append(read_probe(folder))
        except MMBenchError as error:
            left_out.append(str(error))
    if not records:
        raise MMBenchError(
            f"no probe at or below {listed(map(str, paths))} can be reported: `mmbench probe` "
            f"leaves one{f'. {left_out[0]}' if left_out else ''}"
        )
    places: dict[tuple[str, ...], list[ProbeRecord]] = {}
    for record in sorted(records, key=lambda r: (r.asked.dataset, r.asked.target, r.model)):
        asked = record.asked
        data = asked.fingerprints[asked.split]
        key = (asked.kind, asked.dataset, asked.split, data, asked.target, asked.modality)
        places.setdefault(key, []).append(record)
    p_values = _corrected(records)
    sheets = [_sheet(found, spread, p_values) for _, found in sorted(places.items())]
    title = full_metric_title("accuracy")
    signatures = dict.fromkeys(record.signature for record in records)
    return Document(
        style=style,
        sheets=sheets,
        signatures=[Signature("", title, "", text, 100.0) for text in signatures],
        data=_data(records),
    )


def _corrected(records: Sequence[ProbeRecord]) -> dict[tuple[str, str], float]:
    """Of each gain of a report, by the record's content and what it is over, after Holm."""
    gains = [(record.content, gain) for record in records for gain in record.gains]
    adjusted = holm([gain.p_value for _, gain in gains]).tolist()
    return {(of, gain.over): p for (of, gain), p in zip(gains, adjusted, strict=True)}


def _sheet(
    records: Sequence[ProbeRecord], spread: str, p_values: dict[tuple[str, str], float]
) -> Sheet:
    asked = records[0].asked
    linear = asked.kind == "linear"
    kinds = list(dict.fromkeys(e.features for record in records for e in record.entries))
    names = Counter(record.model for record in records)
    lines = []
    for record in records:
        by_name = {entry.features: entry for entry in record.entries}
        shown: list[Shown] = [
            Number(e.accuracy, low=e.low, high=e.high, scale=100.0, decimals=1)
            if (e := by_name.get(kind))
            else None
            for kind in kinds
        ]
        shown += [
            Number(
                gain.difference,
                low=gain.low,
                high=gain.high,
                scale=100.0,
                decimals=1,
                best=p_values[record.content, gain.over] < _ALPHA,
                signed=True,
                p_value=p_values[record.content, gain.over],
            )
            for gain in record.gains
        ]
        label = record.model
        if names[record.model] > 1:
            label += f" [{record.asked.hash[:8]}]"
        title = model_title(record.model) + label.removeprefix(record.model)
        facts: dict[str, Any] = {"model": record.model}
        lines.append(Line(title, label, shown, facts))
    facts = {
        "task": "probe",
        "dataset": asked.dataset,
        "split": asked.split,
        "fingerprint": asked.fingerprints[asked.split],
        "metric": "accuracy",
        "signature": records[0].signature,
        "category": asked.target,
        "modality": asked.modality,
        "scale": 100.0,
    }
    heads = [Head(_FEATURES.get(k, "Accuracy"), (), facts | {"quantity": k}) for k in kinds]
    heads += [
        Head(f"Less {_FEATURES[gain.over].lower()}", (), facts | {"quantity": f"less {gain.over}"})
        for gain in records[0].gains
    ]
    what = "A linear probe" if linear else "Classification by names"
    size = records[0].samples[asked.split]
    beside = "" if spread == "none" else "; in brackets 95% intervals over groups"
    caption = (
        f"{what} of {asked.target} ({len(records[0].classes)} classes) by the {asked.modality} "
        f"encoder: accuracy (%) on {size:,} samples of the {asked.split} split of "
        f"{dataset_title(asked.dataset)}{beside}. The most frequent class has "
        f"{100 * records[0].majority:.1f}."
    )
    if linear:
        tests = f"{len(p_values)} test{'s' if len(p_values) != 1 else ''}"
        caption += (
            " All are fitted on the same samples of train and have their penalty chosen on "
            f"validation; bold: different after Holm's correction over {tests}."
        )
    prompts = {tuple(record.asked.prompts) for record in records}
    return Sheet(
        name=sheet_name(PROBES, asked.kind, asked.dataset, asked.split, asked.target),
        title=f"{'Linear probe' if linear else 'Zero-shot'}: {asked.target} of "
        f"{dataset_title(asked.dataset)}, {asked.split} split",
        caption=caption,
        heads=heads,
        lines=lines,
        remarks=[f"Asked by {listed(repr(text) for text in each)}." for each in prompts if each],
        spread=spread,
        tests=len(p_values) if linear else 0,
        first="Encoder of",
    )


def _data(records: Sequence[ProbeRecord]) -> list[Data]:
    found: dict[tuple[str, str, str], Data] = {}
    for record in records:
        asked = record.asked
        title = f"{dataset_title(asked.dataset)}, {asked.split} split"
        fingerprint = asked.fingerprints[asked.split]
        size = f"{record.samples[asked.split]:,} samples with a {asked.target}"
        found.setdefault((title, fingerprint, asked.target), Data(title, size, fingerprint))
    return list(found.values())
