"""What commands print of hostile names: one text, put wherever a user's files can put one."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from mmbench.cli.commands import run_command
from mmbench.reports.escape import one_line
from tests.conftest import MINI, command_line, environment
from tests.nasty import NASTY, assert_harmless

REFERENCES, ANSWERS = "references.jsonl", f"{NASTY}.jsonl"
DATASET, MODEL, OTHER, STUDY = (f"{NASTY}{end}.yaml" for end in ("", "1", "2", "study"))


def dataset_text(package):
    """easy-VQA's first images in YAML that is JSON: hostile split, category and licence."""
    test = {"table": "data/test/questions.json", "images": "data/test/images/{image}.png"}
    train = {"table": "data/train/questions.json", "images": "data/train/images/{image}.png"}
    return json.dumps(
        {
            **dict.fromkeys(("summary", "homepage", "licence", "citation"), NASTY),
            "task": "vqa",
            "source": {"package": package, "install": NASTY},
            "layout": {
                "reader": "json_table",
                "columns": {"text": 0, "target": 1, "image": 2},
            },
            "splits": {"train": train, NASTY: test | {"samples": 9999}},
            "evaluate_on": NASTY,
            "categories": {NASTY: ["yes", "no"]},
            "image_size": 64,
        }
    )


@pytest.fixture(scope="module")
def folder(mini_folder, tmp_path_factory):
    """Files of hostile names and content; a record of them in `results`."""
    root = tmp_path_factory.mktemp("hostile")
    shutil.copytree(mini_folder / "mini_vqa", root / "hostile_vqa")
    questions = root / "hostile_vqa" / "data" / "test" / "questions.json"
    questions.write_text(json.dumps([*json.loads(questions.read_text()), ["what?", "yes", NASTY]]))
    (root / DATASET).write_text(dataset_text("hostile_vqa"))
    for model in (MODEL, OTHER):
        (root / model).write_text(json.dumps({"summary": NASTY, "predictor": "majority"}))
    study = {"task": "vqa", "dataset": [DATASET], "models": [MODEL, OTHER], "seeds": 1}
    (root / STUDY).write_text(json.dumps(study))
    rows = [{"id": f"{NASTY}{i}", "target": "yes", "category": NASTY} for i in range(6)]
    write(root / REFERENCES, rows)
    answers = [
        {"id": row["id"], "prediction": "yes" if i % 3 else "no"} for i, row in enumerate(rows)
    ]
    write(root / ANSWERS, answers)
    write(root / f"b{ANSWERS}", [answer | {"prediction": "yes"} for answer in answers])
    write(root / f"double{ANSWERS}", [*answers, answers[0]])
    return root


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def call(folder, monkeypatch, capfd):
    """Runs a command in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mmbench", *arguments])
        code = 0
        try:
            run_command()
        except SystemExit as stopped:
            code = stopped.code or 0
        return code, *capfd.readouterr()

    return run


RUN = ("run", "--task", "vqa", "--dataset", DATASET, "--model", MODEL, "--skip-bad")
SCORE = ("score", "--task", "vqa", "--metrics", "exact_match", "--references", REFERENCES)
PROBE = ("probe", "--encoder", "image_only")
COMPARED = f"{MODEL},{OTHER}"

CALLS = {
    "run": (0, *RUN),
    "run --json": (0, *RUN, "--json"),
    "compare": (0, "compare", *RUN[1:5], "--models", COMPARED, "--seeds", "2", "--skip-bad"),
    "compare --dry-run": (0, "compare", *RUN[1:5], "--models", COMPARED, "--dry-run", "--skip-bad"),
    "compare STUDY": (0, "compare", STUDY, "--skip-bad", "--no-references"),
    "profile": (2, "profile", *RUN[1:5], "--model", MODEL, "--skip-bad"),
    "score": (0, *SCORE, "--predictions", ANSWERS),
    "score --json": (0, *SCORE, "--predictions", ANSWERS, "--json"),
    "score --compare": (0, *SCORE, "--compare", ANSWERS, f"b{ANSWERS}"),
    "show recipe": (0, "show", MODEL),
    "data prepare": (0, "data", "prepare", DATASET, "--skip-bad"),
    "data check": (2, "data", "check", DATASET),
    "an image that is not there": (2, *RUN[:-1]),
    "an id given twice": (2, *SCORE, "--predictions", f"double{ANSWERS}"),
    "no such file": (2, *SCORE, "--predictions", f"none{ANSWERS}"),
    "no such name": (2, "show", NASTY),
    "no such list": (2, "list", NASTY),
    "no such task": (2, "run", "--task", NASTY, "--model", "majority"),
    "no such model": (2, "run", "--task", "vqa", "--model", NASTY),
    "no such recipe": (2, "run", "--task", "vqa", "--model", f"none{MODEL}"),
    "no such dataset": (2, "data", "check", NASTY),
    "no such metric": (2, *SCORE, "--predictions", ANSWERS, "--metrics", NASTY),
    "no such key": (2, *RUN, "--set", f"{NASTY}=1"),
    "no such value": (2, *RUN, "--set", f"width={NASTY}"),
    "no such command": (2, NASTY),
    "no such option": (2, "run", f"--{NASTY}"),
    "no number": (2, *RUN, "--limit", NASTY),
    "no such encoder": (2, "probe", "--encoder", NASTY, "--dataset", "scenes", "--target", "shape"),
    "no such attribute's data": (2, *PROBE, "--dataset", NASTY, "--target", "shape"),
    "no checkpoint to begin from": (
        2,
        *RUN[:5],
        "--model",
        "image_only",
        "--train",
        "--init",
        NASTY,
    ),
    "no record": (2, "report", NASTY),
    "no format": (2, "report", "results", "--format", NASTY),
}


@pytest.mark.parametrize(
    "what", [pytest.param(w, marks=pytest.mark.whole if w == "compare" else ()) for w in CALLS]
)
def test_no_command_prints_what_steers_a_terminal_or_forges_a_line(call, what):
    code, *arguments = CALLS[what]
    done, out, err = call(*arguments)
    assert_harmless(out)
    assert_harmless(err)
    assert done == code, err
    if code:
        assert err.count("\n") == 1
        assert err.startswith("mmbench: ")
    if "--json" in arguments:
        assert json.loads(out)["model"].startswith(NASTY)


@pytest.fixture
def records(call, folder):
    """Of a run and of a scoring, both hostile."""
    assert call(*RUN)[0] == call(*SCORE, "--predictions", ANSWERS)[0] == 0
    return sorted(path.parent for path in (folder / "results").rglob("run.json"))


def test_records_of_hostile_names_are_shown(call, records):
    assert {record.parents[3].parent.name for record in records} == {"results"}
    for record in records:
        code, out, err = call("show", str(record))
        assert (code, err) == (0, "")
        assert_harmless(out)
        assert "record " in out.splitlines()[-1]
    first, *others = map(str, records)
    for arguments in (("show", first, "--diff", others[0]), ("verify", "results")):
        _, out, err = call(*arguments)
        assert_harmless(out)
        assert_harmless(err)
        assert out


@pytest.mark.parametrize(
    "options",
    [
        *(["--format", format] for format in ("markdown", "latex", "csv", "json")),
        *(["--format", "latex", "--layout", layout] for layout in ("cost", "categories")),
        ["--style", "paper", "--methods"],
        ["--format", "latex", "--style", "draft", "--methods"],
    ],
    ids=" ".join,
)
def test_records_of_hostile_names_are_reported(call, records, options):
    code, out, err = call("report", "results", *options)
    assert (code, err) == (0, "")
    assert_harmless(out)


def test_figures_of_hostile_names_are_drawn(call, records, folder):
    code, out, err = call("report", "results", "--figures", "figures")
    assert code == 0
    assert_harmless(out)
    assert_harmless(err)
    assert "at least 6" in err


def test_a_stem_of_dots_is_a_folder_below_out(call, folder):
    shutil.copy(folder / ANSWERS, folder / "...jsonl")
    code, out, _ = call(*SCORE, "--predictions", "...jsonl", "--out", "deep/er/out")
    assert code == 0
    assert out.startswith(".. on vqa/references")
    written = list((folder / "deep").rglob("run.json"))
    assert len(written) == 1
    assert written[0].is_relative_to(folder / "deep" / "er" / "out" / "vqa" / "references")


def test_names_that_are_no_text_are_recorded_and_shown(call, folder):
    odd = {}
    for name in (ANSWERS, REFERENCES):
        odd[name] = os.fsdecode(b"\xff" + os.fsencode(name))
        try:
            shutil.copy(folder / name, folder / odd[name])
        except OSError:
            pytest.skip("file names here are Unicode")
    arguments = (*SCORE[:-1], odd[REFERENCES], "--predictions", odd[ANSWERS], "--out", "bytes")
    code, out, err = call(*arguments)
    assert (code, err) == (0, "")
    assert_harmless(out)
    code, out, err = call("report", "bytes", "--format", "csv")
    assert (code, err) == (0, "")
    assert "\\udcff" in out


def test_a_registered_name_and_summary_are_data_too(mini_folder, tmp_path):
    text = MINI.replace("summary: the first images of easy-VQA", f"summary: {json.dumps(NASTY)}")
    model = "summary: \x1b[2J\x9b31m\u2028forged\npredictor: majority\n"
    for package, file, content in (("one", DATASET, text), ("two", MODEL, model)):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
        (tmp_path / package / file).write_text(content)
    information = tmp_path / "stranger-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    groups = "[mmbench.datasets]\nx = one\n[mmbench.recipes]\nx = two\n"
    (information / "entry_points.txt").write_text(groups)
    name = DATASET.removesuffix(".yaml")
    for arguments in (("list", "datasets"), ("list", "models"), ("data", "list"), ("show", name)):
        done = subprocess.run(
            command_line(*arguments),
            env=environment(tmp_path, mini_folder),
            capture_output=True,
            encoding="utf-8",
        )
        assert (done.returncode, done.stderr) == (0, ""), arguments
        assert_harmless(done.stdout)
        assert one_line(NASTY) in done.stdout
