"""What stands in train and test alike is found, whatever it is called."""

import csv

import numpy as np
import pytest
from PIL import Image

from mmbench.data.dataset import load_spec
from mmbench.data.overlap import in_both
from mmbench.data.splits import load_split

SPEC = """
task: vqa
summary: s
homepage: h
licence: l
citation: c
layout:
  reader: csv_table
  columns: {text: question, target: answer, image: image}
  images: "{image}"
splits:
  train: {table: train.csv}
  test: {table: test.csv}
image_size: 64
metrics: [accuracy]
"""


def photograph(seed, size=64):
    """Smooth shapes of many colours."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def compared(tmp_path):
    def compare(train, test):
        """Of rows of (image, question): how much of test stands in train."""
        for split, rows in (("train", train), ("test", test)):
            with (tmp_path / f"{split}.csv").open("w") as file:
                writer = csv.writer(file)
                writer.writerow(["question", "answer", "image"])
                for place, (image, question) in enumerate(rows):
                    name = f"{split}_{place}.png"
                    image.save(tmp_path / name)
                    writer.writerow([question, "yes", name])
        (tmp_path / "mine.yaml").write_text(SPEC)
        spec = load_spec(str(tmp_path / "mine.yaml"), "vqa")
        spec = spec.model_copy(update={"data_dir": tmp_path})
        train, test = (load_split(spec, split, "questions") for split in ("train", "test"))
        return in_both(test, train)

    return compare


TRAIN = [(photograph(seed), "is it red?") for seed in range(8)]


def test_nothing_in_common(compared):
    found = compared(TRAIN, [(photograph(100 + i), "is it red?") for i in range(3)])
    assert found.same == {"image": 0}
    assert found.near == {"image": 0}
    assert found.of == {"image": 3}
    assert (found.asked, found.samples) == (0, 3)


def test_the_same_image_under_another_name_and_the_same_question(compared):
    test = [(photograph(0), " Is it  RED?"), (photograph(1), "is it blue?")]
    found = compared(TRAIN, test)
    assert found.same == {"image": 2}
    assert found.near == {"image": 0}
    assert (found.asked, found.samples) == (1, 2)


def test_an_image_that_was_scaled_and_compressed_is_nearly_the_same(compared, tmp_path):
    photograph(3, size=96).save(tmp_path / "small.jpg", quality=80)
    found = compared(TRAIN, [(Image.open(tmp_path / "small.jpg"), "is it red?")])
    assert found.same == {"image": 0}
    assert found.near == {"image": 1}
    assert found.asked == 0


def test_a_drawing_in_another_colour_is_another_one(compared):
    def drawing(colour):
        image = Image.new("RGB", (64, 64), "white")
        image.paste(colour, (20, 20, 44, 44))
        return image

    found = compared([(drawing("red"), "which?")], [(drawing("blue"), "which?")])
    assert found.near == {"image": 0}
