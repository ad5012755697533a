"""Records that cannot be reported, and values that are absent, take nothing else down."""

import csv
import io
import json
import shutil

import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.experiments.result import RunResult
from mmbench.records.store import read_record
from mmbench.reports.report import make_report
from mmbench.reports.table import make_tables
from tests.reports.written import written


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
    "edited_file": lambda run: (run.parent / "predictions.parquet").write_bytes(b"better"),
    "missing_file": lambda run: (run.parent / "statistics.npz").unlink(),
    "no_metrics": without_metrics,
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_bad_record_is_named_and_the_others_are_reported(folder, how):
    whole = make_report(folder)
    assert whole.left_out == []
    bad = folder.parent / "seed-7"
    shutil.copytree(folder, bad)
    SPOILT[how](bad / "run.json")
    made = make_report(folder.parent)
    assert made.text == whole.text
    assert len(made.left_out) == 1
    assert str(bad) in made.left_out[0]
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
    assert "| Majority | - | 1 |" in done.stdout
    SPOILT["no_json"](folder / "run.json")
    done = mmbench("report", str(folder.parent))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_absent_values_and_intervals_are_left_out_of_tables(folder):
    first = read_record(folder)
    other = {"name": "other", "signature": "other|v:1", "interval": None}
    other = first.primary.model_copy(update=other)

    def run(model, *metrics):
        changed = {"model": model, "metrics": list(metrics)}
        return RunResult(first.model_copy(update=changed), folder, reused=True)

    tables = make_tables([run("one", first.primary), run("both", first.primary, other)])
    value = f"{first.primary.value * 100:.2f}"
    rows = {
        cells[0]: cells[3:]
        for line in written("markdown", tables).splitlines()
        if line.startswith("| ") and (cells := line.strip("| ").split(" | "))
    }
    assert rows["One"][0].startswith(f"**{value}** [")
    assert rows["One"][1] == "-"
    assert rows["Both"][1] == value
    assert written("latex", tables).count(rf" & {value} \\") == 1
    lines = list(csv.DictReader(io.StringIO(written("csv", tables))))
    assert len(lines) == 3
    assert [(r["low"], r["sd"]) for r in lines if r["metric"] == "other"] == [("", "")]
