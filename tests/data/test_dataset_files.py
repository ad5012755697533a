"""Every dataset's YAML file is whole."""

import re

import pytest
import yaml

from mmbench import registry
from mmbench.data.dataset import load_spec, tasks_of
from mmbench.data.splits import reader_of
from mmbench.errors import MMBenchError
from mmbench.yaml_file import read_yaml

STANDARD = [
    *("vqav2", "gqa", "okvqa", "textvqa", "vizwiz", "clevr", "vqa_rad", "scienceqa"),
    *("coco_karpathy", "flickr30k", "flickr8k", "nocaps", "conceptual_captions", "eccv_caption"),
    *("clotho", "msrvtt", "coco_30k", "laion", "howto100m"),
]
NOT_ON_THE_HUB = {"clevr", "eccv_caption", "msrvtt", "laion", "howto100m"}


def test_the_standard_datasets_are_there():
    assert set(STANDARD) <= set(registry.names("datasets"))


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_it_says_what_it_is_and_whose(name):
    for task in tasks_of(name):
        spec = load_spec(name, task)
        assert len(spec.summary) > 20
        assert spec.licence.strip()
        assert spec.homepage.startswith(("https://", "mmbench itself"))
        entries = re.findall(r"@\w+\{(\w+),", spec.citation)
        assert entries
        assert spec.citation.count("{") == spec.citation.count("}")
        for field in ("author", "title", "year"):
            assert len(re.findall(rf"\b{field} = {{", spec.citation)) == len(entries)


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_its_splits_fit_its_reader(name):
    spec = load_spec(name, tasks_of(name)[0])
    assert {"train", "validation", spec.evaluate_on} <= set(spec.splits)
    for split, settings in spec.splits.items():
        if settings.of is None:
            reader = reader_of(spec, split)
            assert reader.kinds
            assert reader.needs_folder == bool(spec.folder or spec.source)


@pytest.mark.parametrize("name", STANDARD)
def test_a_standard_dataset_says_what_is_needed_and_how_large_it_is(name):
    spec = load_spec(name, tasks_of(name)[0])
    assert re.search(r"\d+(\.\d+)? [MGT]B", spec.download)
    assert spec.folder.strip()
    if name not in ("laion", "howto100m"):
        for settings in spec.splits.values():
            assert settings.samples or settings.of
    assert (spec.hub is None) == (name in NOT_ON_THE_HUB)


BROKEN = [
    ({"licence": None}, "licence must be a valid string"),
    ({"splits": {"train": {"of": "test"}}}, "needs `of` and `hold_out` together"),
    ({"evaluate_on": "tset"}, "the split 'tset' is named but not in `splits`"),
    ({"layout": None, "hub": None}, "says neither `layout` nor `hub`"),
    ({"hub": {"path": "x", "columns": {}, "splits": {"val": "v"}}}, "hub.splits names 'val'"),
    ({"hub": {"path": "x", "colums": {}}}, "hub"),
    ({"sample_rat": 8000}, "no key 'sample_rat'. Did you mean sample_rate"),
]


@pytest.mark.parametrize(("change", "says"), BROKEN)
def test_a_broken_one_is_explained(tmp_path, change, says):
    import json

    value = read_yaml(registry.path("datasets", "flickr8k")) | change
    path = tmp_path / "broken.yaml"
    path.write_text(json.dumps(value))
    with pytest.raises(MMBenchError, match=re.escape(str(path)) + ".*" + re.escape(says)):
        load_spec(str(path), "retrieval")


@pytest.mark.parametrize("source", ["data_dir: files", "hub: {path: files}"])
def test_folders_that_a_file_names_are_those_beside_it_wherever_one_works(
    tmp_path, monkeypatch, source
):
    (tmp_path / "deep" / "files").mkdir(parents=True)
    layout = {"layout": {"reader": "csv_table", "columns": {}}}
    written = yaml.safe_load(source)
    if "hub" in written:
        layout, written["hub"] = {}, written["hub"] | {"columns": {}, "splits": {"test": "test"}}
    path = tmp_path / "deep" / "mine.yaml"
    about = dict.fromkeys(("summary", "homepage", "licence", "citation"), "x")
    about |= {"task": "vqa", "splits": {"test": {}}}
    path.write_text(yaml.safe_dump(about | layout | written))
    monkeypatch.chdir(tmp_path)
    spec = load_spec("deep/mine.yaml", "vqa")
    found = spec.data_dir if spec.hub is None else spec.hub.path
    assert str(found) == "deep/files"
