import json
from pathlib import Path

import easy_vqa
import numpy as np
import pytest
from PIL import Image

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.recipe import load_recipe
from mmbench.yaml_file import read_yaml


@pytest.fixture(scope="module")
def task():
    return registry.load("tasks", "vqa")()


@pytest.fixture(scope="module")
def splits(task):
    spec = task.dataset()
    return {split: task.load(spec, split) for split in ("train", "validation", "test")}


def test_the_test_split_is_the_official_one(splits):
    questions, answers, image_ids = easy_vqa.get_test_questions()
    test = splits["test"]
    assert len(test) == 9673
    assert [s.inputs["text"] for s in test] == questions
    assert [s.target for s in test] == answers
    assert [s.group for s in test] == [str(i) for i in image_ids]
    paths = easy_vqa.get_test_image_paths()
    for sample in test[::1000]:
        expected = np.asarray(Image.open(paths[int(sample.group)]).convert("RGB"))
        np.testing.assert_array_equal(sample.inputs["image"].array(), expected)


def test_validation_is_held_out_of_train_by_image(splits):
    train, validation = ({s.group for s in splits[k]} for k in ("train", "validation"))
    assert not train & validation
    assert train | validation == {str(i) for i in range(4000)}
    assert 0.08 < len(validation) / 4000 < 0.12
    assert len(splits["train"]) + len(splits["validation"]) == 38575


def test_every_answer_has_a_type(splits):
    assert {s.category for s in splits["test"]} == {"yes/no", "shape", "color"}
    assert sum(s.category == "yes/no" for s in splits["test"]) == 7136


def test_fingerprints_are_of_content(splits):
    fingerprints = {name: samples.fingerprint for name, samples in splits.items()}
    assert fingerprints == {
        "train": "eeb219ef8d303965",
        "validation": "4bddbd8b0139acf0",
        "test": "4aa5adf0d5ab30eb",
    }


def test_a_changed_image_or_answer_changes_the_fingerprint(task, mini, mini_folder):
    before = task.load(task.dataset(mini), "test").fingerprint
    table = mini_folder / "mini_vqa/data/test/questions.json"
    image = mini_folder / "mini_vqa/data/test/images/0.png"
    for path in (table, image):
        content = path.read_bytes()
        try:
            if path == table:
                path.write_text(json.dumps([["is it?", "yes", 0], *json.loads(content)[1:]]))
            else:
                Image.new("RGB", (64, 64)).save(path)
            assert task.load(task.dataset(mini), "test").fingerprint != before
        finally:
            path.write_bytes(content)
    assert task.load(task.dataset(mini), "test").fingerprint == before


def test_an_unknown_split_names_the_nearest(task):
    with pytest.raises(MMBenchError, match="no split 'tset'. Did you mean test"):
        task.load(task.dataset(), "tset")


LAYOUT = {"reader": "json_table", "table": "x.json", "columns": {"text": 0}}


def with_changes(mini: str, folder: Path, **changes: object) -> str:
    path = folder / "changed.yaml"
    path.write_text(json.dumps(read_yaml(Path(mini)) | changes))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": "captioning"}, "is for the task captioning, not vqa"),
        (
            {"layout": {"reader": "json_table", "columns": {"text": 0, "target": 7}}},
            "row 0 lacks the columns",
        ),
        ({"layout": {"reader": "jsn_table"}}, "no reader called 'jsn_table'. Did you mean json"),
        ({"layout": LAYOUT | {"column": 1}}, "no key 'column'. Did you mean colu"),
        ({"source": {"package": "not_here", "install": "not-here"}}, "pip install not-here"),
        ({"splits": {"train": {"table": "data/x.json"}}}, "the split 'test' is named but not in"),
        ({"image_size": "big"}, "image_size must be a valid integer"),
    ],
)
def test_a_wrong_dataset_file_is_explained(task, mini, tmp_path, changes, says):
    with pytest.raises(MMBenchError, match=says):
        task.load(task.dataset(with_changes(mini, tmp_path, **changes)), "test")


def test_an_unknown_metric_names_the_nearest(mini, tmp_path):
    from mmbench.experiments.run import run

    path = with_changes(mini, tmp_path, metrics=["acuracy"])
    with pytest.raises(MMBenchError, match="no metric called 'acuracy'. Did you mean accuracy"):
        run("vqa", "majority", dataset=path, out=tmp_path)


def test_each_distinct_input_stands_once_in_a_batch(task, splits):
    recipe = task.resolve(load_recipe("concat_fusion"), task.dataset())
    model = task.build(recipe, task.assets(splits["train"]))
    samples = splits["test"][:40]
    batch = model.collate(samples)
    assert len(batch["image"]) == len({s.group for s in samples})
    assert len(batch["text"]) == len({s.inputs["text"] for s in samples})
    row = 17
    pixels = batch["image"][batch["image_rows"][row]].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(pixels, samples[row].inputs["image"].array())


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"encoders": {"image": None, "text": None}}, "both are null"),
        ({"fusion": None}, "needs a fusion"),
        ({"encoders": {"image": None}}, "nothing to fuse"),
        ({"encoders": {"image": "gru"}}, "the encoder for image reads text"),
        ({"encoders": {"text": {"name": "gru", "layer": 2}}}, "no option 'layer'. Did you mean la"),
        ({"encoders": {"text": {"name": "gru", "layers": "two"}}}, "gru.layers must be a valid"),
        ({"encoders": {"text": {"name": "gru", "layers": 0}}}, "layers must be at least 1"),
        ({"fusion": "gatd"}, "no fusion called 'gatd'. Did you mean gated"),
    ],
)
def test_a_recipe_that_makes_no_model_is_explained(task, splits, overrides, says):
    recipe = task.resolve(load_recipe("gated_fusion", overrides), task.dataset())
    with pytest.raises(MMBenchError, match=says):
        task.build(recipe, task.assets(splits["test"][:50]))
