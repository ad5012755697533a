"""The page of samples."""

import io

import numpy as np
import pytest
from PIL import Image

from mmbench.errors import MMBenchError
from mmbench_tasks.generation.grid import sample_grid


def page_of(content):
    return Image.open(io.BytesIO(content)).convert("RGB")


@pytest.mark.parametrize("size", [32, 64])
def test_a_page_of_32_is_small(scenes, size):
    given = scenes("test", 40, size)
    content = sample_grid(given.prompts, given.pictures, given.targets)
    assert content.startswith(b"\x89PNG")
    assert len(content) < (300_000 if size == 32 else 800_000)
    page = page_of(content)
    assert page.width > 8 * (128 + 64)


def test_a_page_shows_the_generated_picture_large_and_the_real_one_small():
    red, blue = (np.full((32, 32, 3), c, np.uint8) for c in ((200, 0, 0), (0, 0, 200)))
    page = np.asarray(page_of(sample_grid(["a red star"], [red], [{"image": blue}])))
    assert (page == (200, 0, 0)).all(axis=-1).sum() == 128 * 128
    assert (page == (0, 0, 200)).all(axis=-1).sum() == 64 * 64
    below = page[8 + 128 :]
    assert (below < 128).all(axis=-1).any()  # the prompt's ink


def test_a_long_prompt_is_cut_off_and_a_page_of_few_is_narrow():
    picture = np.zeros((32, 32, 3), np.uint8)
    short = page_of(sample_grid(["a"], [picture], [picture]))
    long = page_of(sample_grid(["word " * 2000], [picture], [picture]))
    assert long.size == short.size
    assert page_of(sample_grid(["a"] * 3, [picture] * 3, [picture] * 3)).width == 3 * short.width


def test_what_is_no_picture_is_named():
    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(MMBenchError, match="image 1 is a str"):
        sample_grid(["a", "b"], [picture, "b"], [picture, picture])
