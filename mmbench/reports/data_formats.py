"""A report as data for other programs: CSV and JSON, values unscaled."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from mmbench.reports.document import Document
from mmbench.reports.escape import for_csv
from mmbench.reports.sheet import Head, Line, Number, Sheet

_COLUMNS = (
    *("model", "task", "dataset", "split", "fingerprint", "limit", "metric", "signature"),
    *("mean", "sd", "low", "high", "seeds", "parameters", "category", "quantity"),
    *("corruption", "modality", "letters", "p_value", "table"),
)


def as_csv(document: Document) -> str:
    """A line a number: a model and what was measured. What a model takes has a line a quantity."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for sheet in document.sheets:
        for line in sheet.lines:
            for row in _rows(sheet, line):
                found = {"model": line.label, "table": sheet.name} | row
                values = [found.get(name) for name in _COLUMNS]
                writer.writerow(["" if value is None else for_csv(value) for value in values])
    return text.getvalue()


def _rows(sheet: Sheet, line: Line) -> Iterator[dict[str, Any]]:
    for head, shown in zip(sheet.heads, line.shown, strict=True):
        if isinstance(shown, Number):
            yield dict(head.facts) | {"parameters": line.facts.get("parameters")} | _values(shown)
    where = next((dict(h.facts) for h in sheet.heads if h.facts), {})
    where = {key: where.get(key) for key in ("task", "dataset", "split", "fingerprint", "limit")}
    for name, value in line.facts.items():
        if name not in ("model", "parameters") and value is not None:
            yield where | {"quantity": name, "mean": value}


def _values(number: Number) -> dict[str, Any]:
    return {
        "mean": number.mean,
        "sd": number.sd,
        "low": number.low,
        "high": number.high,
        "seeds": number.seeds,
        "letters": number.mark.letters or None,
        "p_value": number.p_value if number.signed else _against(number),
    }


def _against(number: Number) -> float | None:
    """Of the difference from the best, or from the baseline."""
    return number.mark.pair.adjusted if number.mark.pair else None


def as_json(document: Document) -> str:
    """The tables as objects, with captions and how their numbers are computed."""
    value = {
        "tables": [
            {
                "name": sheet.name,
                "title": sheet.title,
                "caption": sheet.caption,
                "remarks": list(sheet.remarks),
                "columns": [_head(head) for head in sheet.heads],
                "rows": [_line(line) for line in sheet.lines],
            }
            for sheet in document.sheets
        ],
        "signatures": [
            {"metric": s.whole_title, "signature": s.text, "scale": s.scale}
            for s in document.signatures
        ],
        "data": [
            {"title": d.title, "size": d.size, "fingerprint": d.fingerprint} for d in document.data
        ],
        "conditions": list(document.conditions),
        "methods": list(document.methods),
        "checklist": [
            {"point": a.point, "answer": a.answer, "found": a.found} for a in document.checklist
        ],
        "figures": [
            {"name": p.name, "caption": p.caption, "pdf": str(p.pdf), "png": str(p.png)}
            for p in document.pictures
        ],
    }
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _head(head: Head) -> dict[str, Any]:
    return {"title": head.title, "groups": [g for g in head.groups if g]} | dict(head.facts)


def _line(line: Line) -> dict[str, Any]:
    values = [
        _values(s) | {"best": s.best, "level": s.mark.level} if isinstance(s, Number) else s
        for s in line.shown
    ]
    return {"title": line.title, "label": line.label} | dict(line.facts) | {"values": values}
