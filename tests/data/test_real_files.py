"""The real files of Flickr8k, VQA-RAD and VQA v2 (where they lie beside the checkout)."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from mmbench.data.dataset import load_spec
from mmbench.data.splits import load_split
from mmbench.errors import MMBenchError


def spec_of(name, task, folder, **changes):
    return load_spec(name, task).model_copy(update={"data_dir": folder} | changes)


def test_flickr8k_names_images_that_are_not_here(shared_data):
    folder = shared_data / "flickr8k"
    spec = spec_of("flickr8k", "retrieval", folder, image_size=32)
    with pytest.raises(MMBenchError, match=r"875 of 1,000 samples cannot be used: .*skip_bad=True"):
        load_split(spec, "test", "captions")
    spec = spec.model_copy(update={"skip_bad": True})
    counts = {}
    for split in spec.splits:
        loaded = load_split(spec, split, "captions")
        counts[split] = (len(loaded.rows), len(loaded.skipped))
        assert all(len(row["captions"]) == 5 for row in loaded.rows)
    assert counts == {"train": (753, 5247), "validation": (113, 887), "test": (125, 875)}
    row = loaded.rows[0]
    with Image.open(folder / "Flicker8k_Dataset" / row["id"]) as image:
        image.draft("RGB", (64, 64))
        expected = image.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(loaded.inputs(row)["image"].array(), np.asarray(expected))


def test_vqa_rads_official_test_questions(shared_data):
    spec = spec_of("vqa_rad", "vqa", shared_data / "vqa_rad", image_size=32)
    test = load_split(spec, "test", "questions").rows.to_list()
    assert len(test) == 451
    assert Counter(row["category"] for row in test) == {"closed": 272, "open": 179}
    rest = [load_split(spec, split, "questions") for split in ("train", "validation")]
    assert sum(len(loaded.rows) for loaded in rest) == 1797
    assert not {r["group"] for r in rest[0].rows} & {r["group"] for r in rest[1].rows}
    yes_or_no = [row for row in test if row["target"] in ("yes", "no")]
    assert len(yes_or_no) == 251


def test_vqa_rad_as_published_trains_on_284_of_the_451_test_questions(shared_data):
    spec = spec_of("vqa_rad_published", "vqa", shared_data / "vqa_rad", image_size=32)
    test = {row["id"] for row in load_split(spec, "test", "questions").rows}
    rest = [load_split(spec, split, "questions").rows for split in ("train", "validation")]
    learnt = [row["id"] for rows in rest for row in rows]
    assert (len(test), len(learnt)) == (451, 3064)
    assert sum(name.removesuffix("/framed") in test for name in learnt) == 284


def test_vqa_v2s_official_json(published, tmp_path):
    source = published / "vqav2_sample"
    spec = spec_of("vqav2", "vqa", source)
    with pytest.raises(MMBenchError, match="2,962 of 2,962 samples cannot be used: image .*540769"):
        load_split(spec, "val2014", "questions")
    for path in source.iterdir():
        (tmp_path / path.name).symlink_to(path)
    questions = json.loads((source / "v2_OpenEnded_mscoco_val2014_questions.json").read_text())
    (tmp_path / "val2014").mkdir()
    for number in {row["image_id"] for row in questions["questions"]}:
        Image.new("RGB", (4, 4)).save(tmp_path / f"val2014/COCO_val2014_{number:012d}.jpg")
    spec = spec_of("vqav2", "vqa", tmp_path, image_size=4)
    loaded = load_split(spec, "val2014", "questions")
    assert len(loaded.rows) == 2962
    assert all(len(row["target"]) == 10 for row in loaded.rows)
    assert loaded.rows[0]["text"] == "Is there a bell on the train?"
    assert set(loaded.rows["category"]) == {"yes/no", "number", "other"}
