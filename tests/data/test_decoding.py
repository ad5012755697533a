import json
import os
import threading

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmbench.data import decoding, images
from mmbench.data.cache import cache_folder
from mmbench.data.decoding import open_media
from mmbench.data.images import ImageDecoder, decode_image
from mmbench.data.media import MediaRef, _threads, at_hand
from mmbench.data.reading import reporting_to
from mmbench.data.stored import File, FilePart
from mmbench.errors import MMBenchError

ORIENTATION = 0x0112


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


def test_media_too_large_to_keep_are_decoded_side_by_side_into_the_same_values(paths, monkeypatch):
    kept = [MediaRef(opened(paths).media, "", row) for row in (2, 0, 1)]
    assert at_hand(kept) is kept
    monkeypatch.setattr(decoding, "LARGEST_CACHE", 100)
    media, both = opened(paths).media, threading.Barrier(2, timeout=30)

    def decode(self, stored, plain=ImageDecoder.decode):
        if stored.path.name != "2.png":
            both.wait()  # which ends only if another is decoded meanwhile
        return plain(self, stored)

    monkeypatch.setattr(ImageDecoder, "decode", decode)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    _threads.cache_clear()
    found = at_hand([MediaRef(media, "", row) for row in (2, 0, 1)])
    for one, other in zip(found, kept, strict=True):
        np.testing.assert_array_equal(one.array(), other.array())
    _threads.cache_clear()
    assert at_hand(["a", "b"]) == ["a", "b"]


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


def turned(path, orientation):
    """The file with a note that says how it is to be turned; its pixels are left as they are."""
    with Image.open(path) as image:
        exif = image.getexif()
        exif[ORIENTATION] = orientation
        image.save(path, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_upright_as_people_see_it(paths, orientation):
    turned(paths[1], orientation)
    expected = ImageOps.exif_transpose(Image.open(paths[1]))
    np.testing.assert_array_equal(opened(paths).media.values[1], np.asarray(expected))


@pytest.mark.parametrize("orientation", [0, 9, 99])
def test_a_turn_that_is_none_turns_nothing(paths, orientation):
    before = opened(paths).media.values[1]
    turned(paths[1], orientation)
    np.testing.assert_array_equal(opened(paths).media.values[1], before)


def test_a_wide_jpeg_that_is_turned_is_scaled_down_and_upright(tmp_path):
    pixels = np.zeros((40, 400, 3), np.uint8)
    pixels[:, :200] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # its left side is up
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    found = decode_image((tmp_path / "a.jpg").read_bytes(), 8)
    assert found[:3].min() > 250
    assert found[5:].max() < 5


def test_grey_of_16_bits_is_the_picture_that_8_bits_have(paths):
    grey = np.asarray(Image.open(paths[1]).convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(paths[1])
    np.testing.assert_array_equal(opened(paths).media.values[1], np.stack([grey] * 3, axis=2))


def test_what_earlier_versions_decoded_is_not_taken_for_an_image_that_is_read_otherwise(paths):
    def without_oddities(self, medium):
        return medium.digest()

    age(paths)
    plain = opened(paths).media.digest
    turned(paths[1], 6)
    age(paths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageDecoder, "digest", without_oddities)
        patch.setattr(ImageDecoder, "version", 1)
        patch.setattr(images, "turn_of", lambda image: None)
        old = opened(paths).media
    new = opened(paths).media
    assert len({plain, old.digest, new.digest}) == 3
    assert not np.array_equal(old.values[1], new.values[1])
    # What is read as before keeps its digest, and with it the fingerprints of datasets.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageDecoder, "digest", without_oddities)
        same = open_media([File(paths[0]), File(paths[2])], ImageDecoder(8)).media.digest
    assert open_media([File(paths[0]), File(paths[2])], ImageDecoder(8)).media.digest == same
