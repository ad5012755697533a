import json
import os

import numpy as np
import pytest
from PIL import Image

from mmbench.data import decoding
from mmbench.data.cache import cache_folder
from mmbench.data.decoding import open_media
from mmbench.data.images import ImageDecoder
from mmbench.data.media import MediaRef
from mmbench.data.reading import reporting_to
from mmbench.data.stored import File, FilePart
from mmbench.errors import MMBenchError


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return paths


def opened(paths, pixels=8):
    return open_media([File(path) for path in paths], ImageDecoder(pixels))


def age(paths, seconds=100):
    """Make files look as old as files mostly are."""
    for path in paths:
        status = path.stat()
        os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))


def test_pixels_are_those_of_the_files_and_stay_so_from_the_cache(paths):
    for _ in range(2):
        images = opened(paths).media
        assert images.values.shape == (3, 8, 8, 3)
        for path, pixels in zip(paths, images.values, strict=True):
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(path)))
    assert len(list((cache_folder() / "images").iterdir())) == 1


def test_a_changed_file_is_decoded_anew(paths):
    before = opened(paths).media
    Image.new("RGB", (8, 8), (9, 9, 9)).save(paths[1])
    after = opened(paths).media
    assert before.digest != after.digest
    assert (after.values[1] == 9).all()


def test_files_that_did_not_change_are_not_read_again(paths, monkeypatch):
    age(paths)
    before = opened(paths).media
    monkeypatch.setattr(File, "content", lambda self: pytest.fail("it was read"))
    assert opened(paths).media.digest == before.digest


def test_a_new_file_is_read_again_since_its_time_may_not_tell(paths):
    opened(paths)
    assert not list((cache_folder() / "known").glob("*"))


def test_a_change_of_an_old_file_is_seen(paths):
    age(paths)
    before = opened(paths).media
    Image.new("RGB", (8, 8), (9, 9, 9)).save(paths[1])
    age(paths[1:2], seconds=50)
    assert opened(paths).media.digest != before.digest


def test_the_same_files_elsewhere_share_what_is_decoded(paths, tmp_path):
    before = opened(paths).media
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in paths:
        path.rename(moved / path.name)
    assert opened([moved / path.name for path in paths]).media.digest == before.digest
    assert len(list((cache_folder() / "images").iterdir())) == 1


def test_other_sizes_are_resized(paths):
    assert opened(paths, pixels=4).media.values.shape == (3, 4, 4, 3)


def test_a_large_jpeg_is_scaled_down_nearly_as_if_it_were_decoded_whole(tmp_path, paths):
    ramp = np.add.outer(np.arange(512), np.arange(640)) // 5
    path = tmp_path / "large.jpg"
    Image.fromarray(np.stack([ramp, ramp // 2, 255 - ramp], -1).astype(np.uint8)).save(path)
    whole = Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)
    pixels = opened([path], pixels=64).media.values[0]
    assert np.abs(pixels.astype(int) - np.asarray(whole)).max() <= 4


def test_a_reference_equals_another_to_the_same_image(paths):
    images, again = opened(paths).media, opened(paths).media
    assert MediaRef(images, images.digest, 1) == MediaRef(again, again.digest, 1)
    assert MediaRef(images, images.digest, 1) != MediaRef(images, images.digest, 2)


def test_broken_media_are_named_and_the_others_are_kept_in_order(paths):
    paths[0].write_bytes(paths[0].read_bytes()[:60])
    paths.insert(1, paths[0].with_name("absent.png"))
    found = opened(paths)
    assert sorted(found.bad) == [0, 1]
    assert "0.png cannot be decoded" in found.bad[0]
    assert "absent.png cannot be read: No such file" in found.bad[1]
    assert len(found.media) == 2
    np.testing.assert_array_equal(found.media.values[1], np.asarray(Image.open(paths[3])))
    assert found.media.digest == opened(paths[2:]).media.digest


def test_what_is_broken_is_remembered(paths):
    paths[0].write_bytes(b"no image")
    age(paths)
    first = opened(paths)
    again = opened(paths)
    assert (again.bad, again.media.digest) == (first.bad, first.media.digest)
    [note] = (cache_folder() / "known").glob("*.json")
    assert list(json.loads(note.read_text())["bad"]) == ["0"]


def test_all_broken_leaves_none(paths):
    for path in paths:
        path.write_bytes(b"")
    found = opened(paths)
    assert len(found.media) == 0
    assert len(found.bad) == 3


def test_a_set_too_large_to_keep_is_decoded_when_read(paths, monkeypatch):
    kept = opened(paths).media
    monkeypatch.setattr(decoding, "LARGEST_CACHE", 100)
    paths.append(paths[0].with_name("broken.png"))
    paths[3].write_bytes(b"broken")
    found = opened(paths)
    assert list(found.bad) == [3]
    assert found.media.digest == kept.digest
    np.testing.assert_array_equal(MediaRef(found.media, "", 2).array(), kept.values[2])
    assert len(list((cache_folder() / "images").iterdir())) == 1
    paths[2].unlink()
    with pytest.raises(MMBenchError, match=r"2\.png cannot be decoded: No such file"):
        MediaRef(found.media, "", 2).array()


def test_a_part_of_a_file_is_read_from_where_it_lies(paths, tmp_path):
    content = paths[1].read_bytes()
    whole = tmp_path / "whole"
    whole.write_bytes(b"before" + content + b"after")
    part = FilePart(whole, "1.png", 6, len(content))
    found = open_media([part], ImageDecoder(8))
    np.testing.assert_array_equal(found.media.values[0], np.asarray(Image.open(paths[1])))
    assert found.media.digest == opened([paths[1]]).media.digest


def test_progress_is_told(paths):
    told = []
    with reporting_to(lambda what, done, of: told.append((what, done, of))):
        opened(paths)
    assert told == [("reading images", 3, 3), ("decoding images", 3, 3)]


def test_an_unwritable_cache_says_what_to_set(paths, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(MMBenchError, match="set MMBENCH_CACHE"):
        opened(paths)
