"""Facts of splits that are kept: gone as soon as anything changes, and never a traceback."""

import os

import pytest
from PIL import Image

from mmbench.data.cache import cache_folder
from mmbench.data.fingerprints import SplitFacts, known_facts, remember_facts
from tests.data.layouts import FOLDERS
from tests.data.test_layouts import spec_of

FACTS = SplitFacts("0123456789abcdef", 15, 3)


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """Flickr8k whose images are on another disk, all as old as files mostly are."""
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    FOLDERS["flickr8k"](folder)
    (folder / "Flicker8k_Dataset").rename(tmp_path / "disk")
    (folder / "Flicker8k_Dataset").symlink_to(tmp_path / "disk")
    for path in [*folder.iterdir(), *(tmp_path / "disk").iterdir()]:
        os.utime(path, (1, 1))
    return spec_of("flickr8k", folder)


def test_facts_are_found_again(spec):
    assert known_facts(spec, "test") is None
    remember_facts(spec, "test", FACTS)
    assert known_facts(spec, "test") == FACTS
    assert known_facts(spec, "train") is None
    assert known_facts(spec.at_size(8), "test") is None


def test_a_changed_image_behind_a_link_is_seen(spec, tmp_path):
    remember_facts(spec, "test", FACTS)
    path = tmp_path / "disk/0_ab.jpg"
    Image.new("RGB", (8, 8)).save(path)
    os.utime(path, (1, 1))
    assert known_facts(spec, "test") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000])
def test_damaged_facts_are_forgotten_with_a_line(spec, text, caplog):
    remember_facts(spec, "test", FACTS)
    [path] = (cache_folder() / "fingerprints").iterdir()
    path.write_text(text)
    assert known_facts(spec, "test") is None
    assert str(path) in caplog.text
    remember_facts(spec, "test", FACTS)
    assert known_facts(spec, "test") == FACTS


def test_a_link_to_a_folder_that_it_lies_in_has_an_end(spec):
    (spec.data_dir / "loop").symlink_to(spec.data_dir)
    remember_facts(spec, "test", FACTS)
    assert known_facts(spec, "test") is None


def test_what_lies_outside_of_the_folder_is_not_kept(spec):
    layout = spec.layout.model_copy(update={"captions": "../captions.txt"})
    spec = spec.model_copy(update={"layout": type(spec.layout)(**layout.model_dump())})
    remember_facts(spec, "test", FACTS)
    assert known_facts(spec, "test") is None
