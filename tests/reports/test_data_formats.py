import csv
import io
import json

import pytest

from mmbench.reports.table import make_tables
from tests.nasty import NASTY, assert_harmless
from tests.reports.reference import altered, reference_runs, reference_tables
from tests.reports.written import written


@pytest.mark.parametrize("layout", ["main", "cost", "categories"])
def test_json_and_csv_hold_the_same_numbers_unscaled(layout):
    tables = reference_tables("vqa", "easy_vqa")
    value = json.loads(written("json", tables, layout=layout))
    rows = list(csv.DictReader(io.StringIO(written("csv", tables, layout=layout))))
    numbers = [v for t in value["tables"] for r in t["rows"] for v in r["values"]]
    means = [v["mean"] for v in numbers if isinstance(v, dict)]
    assert means == [float(row["mean"]) for row in rows if row["metric"]]
    assert all(0 <= mean <= 1 for mean in means)


def test_json_says_how_its_numbers_are_computed():
    value = json.loads(written("json", reference_tables("vqa", "easy_vqa")))
    [table] = value["tables"]
    assert table["columns"][-1]["signature"] == value["signatures"][0]["signature"]
    assert value["data"][0]["fingerprint"] == table["columns"][-1]["fingerprint"]
    row = table["rows"][0]
    assert row["model"] == "attention_fusion"
    assert row["values"][-1]["letters"] == "a"
    assert row["values"][-1]["best"]


def test_costs_are_lines_of_their_own_in_csv():
    tables = reference_tables("vqa", "easy_vqa")
    rows = list(csv.DictReader(io.StringIO(written("csv", tables, layout="cost"))))
    found = {r["quantity"]: r["mean"] for r in rows if r["model"] == "gated_fusion"}
    row = next(r for r in tables[0].rows if r.model == "gated_fusion")
    assert float(found["trained_parameters"]) == sum(row.record.parameters.values())
    assert float(found["operations"]) == row.record.flops_per_sample


def test_hostile_names_break_no_json():
    run = reference_runs("vqa", "easy_vqa")[0]
    metric = run.record.primary.model_copy(update={"name": NASTY, "signature": NASTY})
    texts = dict.fromkeys(("task", "dataset", "split", "model"), NASTY)
    text = written("json", make_tables([altered(run, metrics=[metric], **texts)]))
    assert json.loads(text)["tables"][0]["rows"][0]["model"] == NASTY
    assert_harmless(text.encode("ascii", "backslashreplace").decode())
