"""Images of a dataset whose file sets no size are not enlarged."""

import logging

import pytest

from mmbench import registry
from mmbench.data.dataset import load_spec, tasks_of
from mmbench.data.own_size import tell_own_size
from mmbench.data.splits import load_split
from mmbench.yaml_file import read_yaml
from tests.data.layouts import image, write_json

MINE = """
task: vqa
summary: mine
homepage: https://example.org
licence: mine
citation: none
layout: {reader: json_table, columns: {text: 0, target: 1, image: 2}}
splits:
  train: {table: train.json, images: "{image}.png"}
  validation: {of: train, hold_out: 0.5}
  test: {table: test.json, images: "{image}.png"}
"""


@pytest.fixture
def load(tmp_path):
    """Reads a split of a dataset with images of these sizes in train and test."""
    tell_own_size.cache_clear()

    def split_of(split, train, test, more=""):
        (tmp_path / "mine.yaml").write_text(MINE + more)
        for name, sizes in (("train", train), ("test", test)):
            rows = [["what", "red", f"{name}{place}"] for place in range(len(sizes))]
            if rows:
                write_json(tmp_path / f"{name}.json", rows)
            for place, size in enumerate(sizes):
                image(tmp_path / f"{name}{place}.png", place, size)
        spec = load_spec(str(tmp_path / "mine.yaml"), "vqa")
        spec = spec.model_copy(update={"data_dir": tmp_path})
        return load_split(spec, split, "questions").media["image"].values.shape[1:]

    return split_of


SMALL = [(20, 64), (64, 64), (8, 8), (9, 9), (10, 10), (11, 11)]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_small_images_keep_their_size_which_is_said_once(load, caplog, split):
    with caplog.at_level(logging.WARNING):
        assert load(split, SMALL, [(30, 30), (500, 300)]) == (64, 64, 3)
        load(split, SMALL, [(30, 30), (500, 300)])
    [said] = [r.getMessage() for r in caplog.records if "own size" in r.getMessage()]
    assert "mine" in said
    assert "64 x 64" in said
    assert "image_size" in said


def test_large_images_are_read_at_the_usual_size_in_silence(load, caplog):
    assert load("train", [*SMALL, (300, 20)], SMALL) == (224, 224, 3)
    assert not caplog.records


def test_a_size_that_the_file_sets_holds(load, caplog):
    assert load("train", SMALL, SMALL, "image_size: 224\n") == (224, 224, 3)
    assert load("test", SMALL, SMALL, "image_size: 16\n") == (16, 16, 3)
    assert not caplog.records


def test_test_images_alone_decide_for_themselves(load):
    assert load("test", [], SMALL) == (64, 64, 3)


def test_every_dataset_that_comes_with_mmbench_sets_the_size_of_its_images():
    for name in registry.names("datasets"):
        spec = load_spec(name, tasks_of(name)[0])
        if "image" in spec.modalities:
            assert "image_size" in read_yaml(registry.path("datasets", name)), name
