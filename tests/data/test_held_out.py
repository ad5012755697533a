"""Where a dataset's file names no validation, a tenth of the groups of train is held out."""

import logging

import pytest

from mmbench.cli.data import origin
from mmbench.data import splits
from mmbench.data.dataset import Layout, load_spec
from mmbench.data.splits import load_split
from mmbench.errors import MMBenchError
from tests.data.layouts import image, write_json

MINE = """
task: vqa
summary: mine
homepage: https://example.org
licence: mine
citation: none
layout: {reader: json_table, columns: {text: 0, target: 1, image: 2}}
image_size: 8
splits:
  train: {table: train.json, images: "{image}.png"}
  test: {table: test.json, images: "{image}.png"}
"""


@pytest.fixture
def mine(tmp_path):
    splits._tell_held_out.cache_clear()

    def spec(more=""):
        (tmp_path / "mine.yaml").write_text(MINE + more)
        for name, count in (("train", 60), ("test", 3)):
            rows = [["what", "red", f"{name}{place}"] for place in range(count)]
            write_json(tmp_path / f"{name}.json", rows)
            for place in range(count):
                image(tmp_path / f"{name}{place}.png", place, (8, 8))
        found = load_spec(str(tmp_path / "mine.yaml"), "vqa")
        return found.model_copy(update={"data_dir": tmp_path})

    return spec


def sizes(spec):
    return {split: len(load_split(spec, split, "questions").rows) for split in spec.splits}


def test_a_tenth_is_held_out_and_said_once(mine, caplog):
    spec = mine()
    with caplog.at_level(logging.WARNING):
        found = sizes(spec)
        sizes(spec)
    assert list(found) == ["train", "validation", "test"]
    assert found["train"] + found["validation"] == 60
    assert 1 <= found["validation"] <= 15
    said = [r.getMessage() for r in caplog.records if "validation" in r.getMessage()]
    assert len(said) == 1
    assert "10%" in said[0]


def test_it_is_what_naming_it_in_the_file_gives(mine, caplog):
    by_default = load_split(mine(), "validation", "questions").fingerprint
    caplog.clear()
    spec = mine("  validation: {of: train, hold_out: 0.1}\n")
    assert load_split(spec, "validation", "questions").fingerprint == by_default
    assert not [r for r in caplog.records if "validation" in r.getMessage()]


def test_a_validation_that_is_scored_must_be_in_the_file(mine):
    with pytest.raises(MMBenchError, match="'validation'"):
        mine("evaluate_on: validation\n")


def test_files_in_a_folder_are_not_called_generated(mine):
    assert origin(mine()) == "folder"
    assert origin(load_spec("interactions", "vqa")) == "generated"


def test_a_dataset_of_a_reader_that_is_not_here_is_listed_all_the_same(mine):
    spec = mine()
    assert origin(spec.model_copy(update={"layout": Layout(reader="theirs")})) == "folder"
