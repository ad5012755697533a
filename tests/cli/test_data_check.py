"""`mmbench data check` says of one's own data what would mislead a result, or stop a training."""

import csv
import json

import pandas
import pytest
from PIL import Image

from mmbench.cli.data import check
from mmbench.errors import MMBenchError

SPEC = """
task: {task}
summary: s
homepage: h
licence: l
citation: c
metrics: [{metric}]
data_dir: files
layout:
  reader: {reader}
  columns: {columns}
  images: "{{image}}"
splits:
  train: {{table: train.{ending}}}
  validation: {{of: train, hold_out: 0.3}}
  test: {{table: test.{ending}}}
"""
COLUMNS = {"text": "question", "target": "answer", "image": "picture"}


@pytest.fixture
def described(tmp_path):
    """Two questions about each of eight pictures, as a dataset's file with changes."""
    folder = tmp_path / "files"
    folder.mkdir()
    for split in ("train", "test"):
        rows = []
        for n in range(8):
            name = f"{split}_{n}.png"
            Image.new("RGB", (8, 8), (20 * n, len(split), 0)).save(folder / name)
            rows += [{"picture": name, "question": f"{q}?", "answer": q} for q in ("a", "b")]
        frame = pandas.DataFrame(rows)
        frame.to_csv(folder / f"{split}.csv", index=False, quoting=csv.QUOTE_ALL)
        frame.to_csv(folder / f"{split}.tsv", index=False, sep="\t")
        frame.to_parquet(folder / f"{split}.parquet")

    def write(**changes):
        settings = {"task": "vqa", "metric": "accuracy", "reader": "csv_table", "ending": "csv"}
        settings |= {"columns": json.dumps(COLUMNS)} | changes
        (tmp_path / "mine.yaml").write_text(SPEC.format(**settings))
        return str(tmp_path / "mine.yaml")

    return write


def said_of(path):
    lines = []
    try:
        check(path, say=lines.append)
    except MMBenchError as error:
        lines.append(str(error))
    return lines


def test_a_parquet_table_that_names_files_is_read_as_the_csv_file_is(described):
    by_text = said_of(described())
    assert by_text[-1] == "mine is whole"
    assert said_of(described(reader="parquet_table", ending="parquet")) == by_text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ending": "parquet"}, "is no text, but a Parquet file"),
        ({"ending": "tsv"}, 'its layout must say `delimiter: "\\t"`'),
        ({"columns": "{text: question, target: anwser, image: picture}"}, "anwser (target)"),
    ],
)
def test_what_two_splits_lack_alike_is_said_once(described, changes, says):
    lines = said_of(described(**changes))
    assert lines[0].startswith("train: ")
    assert says in lines[0]
    assert lines[1] == "validation: as train"
    assert lines[-1] == "mine is not whole: 3 problems, said above"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": "vqaa"}, "no task called 'vqaa'. Did you mean vqa"),
        ({"metric": "acuracy"}, "no metric called 'acuracy'. Did you mean accuracy"),
    ],
)
def test_a_task_or_metric_that_does_not_exist_is_named(described, changes, says):
    (line,) = said_of(described(**changes))
    assert says in line


def test_one_problem_is_not_problems(described, tmp_path):
    path = described()
    (tmp_path / "files" / "test.csv").unlink()
    assert said_of(path)[-1] == "mine is not whole: 1 problem, said above"


def test_samples_of_one_picture_in_several_groups_are_told_with_what_to_do(described):
    columns = COLUMNS | {"group": "question"}  # two groups, which share every picture
    lines = said_of(described(columns=json.dumps(columns)))
    told = [line for line in lines if "8 of 8 different images stand in several groups" in line]
    assert len(told) == 2  # of train, whose groups may all be held out or none, and of test
    assert "`group`" in told[0]
    assert not any("several groups" in line for line in said_of(described()))


def test_files_that_lie_nowhere_are_told_both_ways_to_name_their_folder(described, tmp_path):
    path = described()
    text = (tmp_path / "mine.yaml").read_text().replace("data_dir: files\n", "")
    (tmp_path / "mine.yaml").write_text(text)
    first = said_of(path)[0]
    assert "--data-dir" in first
    assert f"`data_dir` in {path}" in first
