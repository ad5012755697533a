"""`mmbench run --request FILE`: one run, written down."""

from __future__ import annotations

import json
import re

import pytest

from mmbench.request import RunRequest, read_request


def test_a_file_is_the_options_by_name_and_options_that_are_written_change_it(command, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "task: vqa\nmodel: question_only\nlimit: 40\nseed: 0\nout: records\n"
        "overrides: {train.epochs: 16}\n"
    )
    done = command("run", "--request", str(file), "--limit", "20", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["model"], record["limit"], record["samples"]) == ("question_only", 20, 20)


def test_overrides_of_the_command_line_are_added_to_the_files(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("{task: vqa, model: gated_fusion, overrides: {width: 64, train.epochs: 3}}")
    request = read_request(file, overrides={"train.epochs": 4}, seed=2)
    assert request == RunRequest(
        task="vqa", model="gated_fusion", seed=2, overrides={"width": 64, "train.epochs": 4}
    )


def test_a_request_travels_as_json():
    request = RunRequest(task="vqa", model="gated_fusion", overrides={"width": 64}, out="there")
    assert RunRequest.model_validate(json.loads(request.model_dump_json())) == request


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{task: vqa, model: gated_fusion, seed: three}", "seed must be a valid integer.*three"),
        ("{task: vqa, model: gated_fusion, train: 1}", "train must be a valid boolean"),
        ("{task: vqa, model: gated_fusion, sed: 1}", "no key 'sed'.*Did you mean seed"),
        ("{task: vqa}", "the key 'model' is missing"),
        ("- vqa", "must be a mapping"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(command, tmp_path, text, message):
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    done = command("run", "--request", str(file))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "wrong.yaml" in done.stderr
    assert re.search(message, done.stderr), done.stderr


def test_without_a_file_task_and_model_must_be_named(command):
    done = command("run", "--task", "vqa")
    assert done.returncode == 2
    assert "missing option --model" in done.stderr
