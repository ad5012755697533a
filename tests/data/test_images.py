import numpy as np
import pytest
from PIL import Image

from mmbench.data.images import open_images
from mmbench.data.media import MediaRef, cache_folder
from mmbench.errors import MMBenchError


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return paths


def test_pixels_are_those_of_the_files_and_stay_so_from_the_cache(files):
    for _ in range(2):
        images = open_images(files, size=8)
        assert images.values.shape == (3, 8, 8, 3)
        for path, pixels in zip(files, images.values, strict=True):
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(path)))
    assert len(list((cache_folder() / "images").iterdir())) == 1


def test_a_changed_file_is_decoded_anew(files):
    before = open_images(files, size=8)
    Image.new("RGB", (8, 8), (9, 9, 9)).save(files[1])
    after = open_images(files, size=8)
    assert before.digest != after.digest
    assert (after.values[1] == 9).all()


def test_other_sizes_are_resized(files):
    assert open_images(files, size=4).values.shape == (3, 4, 4, 3)


def test_a_reference_equals_another_to_the_same_image(files):
    images = open_images(files, size=8)
    again = open_images(files, size=8)
    assert MediaRef(images, images.digest, 1) == MediaRef(again, again.digest, 1)
    assert MediaRef(images, images.digest, 1) != MediaRef(images, images.digest, 2)


def test_a_truncated_image_is_named_and_nothing_is_cached(files):
    files[2].write_bytes(files[2].read_bytes()[:60])
    with pytest.raises(MMBenchError, match=r"2\.png cannot be decoded"):
        open_images(files, size=8)
    assert list((cache_folder() / "images").iterdir()) == []


def test_a_missing_image_is_named(files):
    files[0].unlink()
    with pytest.raises(MMBenchError, match=r"0\.png cannot be read"):
        open_images(files, size=8)


def test_an_unwritable_cache_says_what_to_set(files, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(MMBenchError, match="set MMBENCH_CACHE"):
        open_images(files, size=8)
