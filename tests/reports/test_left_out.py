"""Records that cannot be reported, and values that are absent, take nothing else down."""

import csv
import io
import json
import shutil

import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.records.store import read_record
from mmbench.reports.formats import FORMATS
from mmbench.reports.report import make_report
from mmbench.reports.table import make_tables


@pytest.fixture
def folder(mini, tmp_path):
    """Of a record that can be reported."""
    return mmbench.run("vqa", "majority", dataset=mini, out=tmp_path / "results").path


def with_value(text):
    return lambda run: run.write_text(
        run.read_text().replace(
            f'"value": {json.loads(run.read_text())["metrics"][0]["value"]}', f'"value": {text}', 1
        )
    )


def without_metrics(run):
    run.write_text(json.dumps(json.loads(run.read_text()) | {"metrics": []}))


SPOILT = {
    "nan": with_value("NaN"),
    "infinite": with_value("1e999"),
    "null": with_value("null"),
    "newer": lambda run: run.write_text(
        run.read_text().replace('"schema_version": ', '"schema_version": 9')
    ),
    "no_json": lambda run: run.write_text("{"),
    "deep": lambda run: run.write_text("[" * 100_000),
    "folder": lambda run: (run.unlink(), run.mkdir()),
    "edited_file": lambda run: (run.parent / "predictions.parquet").write_bytes(b"better"),
    "missing_file": lambda run: (run.parent / "predictions.parquet").unlink(),
    "no_metrics": without_metrics,
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_bad_record_is_named_and_the_others_are_reported(folder, how):
    whole = make_report(folder)
    assert whole.left_out == {}
    bad = folder.parent / "seed-7"
    shutil.copytree(folder, bad)
    SPOILT[how](bad / "run.json")
    made = make_report(folder.parent)
    assert made.text == whole.text
    assert list(made.left_out) == [bad]
    assert str(bad) in made.left_out[bad]
    with pytest.warns(UserWarning, match="seed-7") as caught:
        assert mmbench.report(folder.parent) == whole.text
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_where_no_record_can_be_reported_there_is_no_report(folder):
    SPOILT["no_json"](folder / "run.json")
    shutil.copytree(folder, folder.parent / "seed-7")
    with pytest.raises(MMBenchError, match=r"(?s)seed-0.*seed-7"):
        make_report(folder.parent)


def test_the_command_names_bad_records_and_says_so_with_its_exit_code(folder, mmbench):
    bad = folder.parent / "seed-7"
    shutil.copytree(folder, bad)
    assert mmbench("report", str(folder.parent)).returncode == 0
    SPOILT["nan"](bad / "run.json")
    done = mmbench("report", str(folder.parent))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "seed-7" in done.stderr
    assert "| majority | - | 1 |" in done.stdout
    SPOILT["no_json"](folder / "run.json")
    done = mmbench("report", str(folder.parent))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_absent_values_and_intervals_are_dashes(folder):
    one = read_record(folder)
    bare = one.primary.model_copy(update={"interval": None})
    none = one.primary.model_copy(update={"value": None, "interval": None})
    other = one.primary.model_copy(update={"name": "other", "signature": "other|v:1"})

    def record(model, *metrics):
        changed = {"model": model, "metrics": list(metrics)}
        return one.model_copy(update=changed)

    tables = make_tables([record("bare", bare), record("none", none), record("more", other, bare)])
    value = f"{one.primary.value * 100:.2f}"
    rows = {
        cells[0]: cells[2:]
        for line in FORMATS["markdown"](tables).splitlines()
        if line.startswith("| ") and (cells := line.strip("| ").split(" | "))
    }
    assert rows["bare"] == ["1", value, "-"]
    assert rows["none"] == ["0", "-", "-"]
    assert rows["more"][1] == value
    assert rows["more"][2].startswith(f"{value} [")
    assert list(rows)[-1] == "none"
    assert r"none & - & 0 & - & - \\" in FORMATS["latex"](tables)
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](tables))))
    assert [(r["mean"], r["low"]) for r in lines if r["model"] == "none"] == [("", "")]
    assert [r["low"] for r in lines if r["model"] == "bare"] == [""]
