"""Folders and tables of images that are scored."""

import json
import os
import struct

import numpy as np
import pytest
from PIL import Image

from mmbench.data.image_folder import read_images
from mmbench.errors import MMBenchError

ORIENTATION = 0x0112


@pytest.fixture
def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
    pixels[0, :2] = 0, 255
    return pixels


def read(folder):
    found = read_images(folder, "prediction")
    return dict(zip(found.names, found.images, strict=True)), found.notes


def test_all_that_pillow_reads_is_read_and_what_is_left_out_is_named(tmp_path, picture):
    folder = tmp_path / "fake"
    (folder / "deeper").mkdir(parents=True)
    for suffix in ("png", "tif", "gif", "bmp", "webp", "tga", "pgm"):
        Image.fromarray(picture).save(folder / f"a.{suffix}", lossless=True)
    (folder / "a.png").rename(folder / "without_suffix")
    (folder / "notes.txt").write_text("hello")
    (folder / "features.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (folder / ".DS_Store").write_bytes(b"x")
    images, notes = read(folder)
    assert len(images) == 7
    for pixels in images.values():
        np.testing.assert_array_equal(pixels, np.stack([picture] * 3, axis=2))
    assert len(notes) == 1
    assert "4 files or folders" in notes[0]
    for name in ("deeper/", "notes.txt", "features.h5", ".DS_Store"):
        assert name in notes[0]


def test_a_damaged_image_and_a_link_to_nothing_are_no_other_files(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("not a picture")
    os.symlink(tmp_path / "nowhere", tmp_path / "c.png")
    with pytest.raises(MMBenchError, match=r"2 of 3 images cannot be read: b\.png .*c\.png"):
        read(tmp_path)


def test_grey_of_more_bits_is_the_same_picture_and_is_counted(tmp_path, picture):
    folder = tmp_path / "fake"
    folder.mkdir()
    wide = picture.astype(np.int32)
    Image.fromarray((wide * 257).astype(np.uint16)).save(folder / "16.png")
    Image.fromarray((wide * 257).astype(np.uint16)).save(folder / "16.tif")
    Image.fromarray(wide * 257).save(folder / "32.tif")
    Image.fromarray(wide * 2**16 * 100).save(folder / "32_large.tif")
    Image.fromarray(wide - 128).save(folder / "32_negative.tif")
    Image.fromarray((wide / 255).astype(np.float32)).save(folder / "float.tif")
    Image.fromarray(picture.astype(np.float32)).save(folder / "float_255.tif")
    Image.fromarray(picture).save(folder / "8.png")
    images, notes = read(folder)
    for name, pixels in images.items():
        expected = picture if name != "32_large.tif" else wide * 2**16 * 100 >> 24
        np.testing.assert_array_equal(pixels[..., 0], expected, err_msg=name)
    assert len(notes) == 1
    assert "7 images are grey of 16 or 32 bits" in notes[0]


def test_unsigned_numbers_of_32_bits_have_no_sign(tmp_path, picture):
    image = Image.fromarray((picture.astype(np.uint32) * 16_843_009).view(np.int32))
    image.save(tmp_path / "a.tif")
    signed, unsigned = (struct.pack("<HHIH", 339, 3, 1, value) for value in (2, 1))
    content = (tmp_path / "a.tif").read_bytes()
    assert content.count(signed) == 1
    (tmp_path / "a.tif").write_bytes(content.replace(signed, unsigned))
    images, _ = read(tmp_path)
    np.testing.assert_array_equal(images["a.tif"][..., 0], picture)


def test_numbers_that_are_none_are_black(tmp_path):
    values = np.array([[np.nan, np.inf], [0.5, 1]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    images, _ = read(tmp_path)
    assert images["a.tif"][..., 0].tolist() == [[0, 0], [128, 255]]


def test_a_turn_is_left_aside_and_counted(tmp_path, picture):
    folder = tmp_path / "fake"
    folder.mkdir()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(picture).save(folder / "turned.png", exif=exif)
    exif[ORIENTATION] = 1
    Image.fromarray(picture).save(folder / "upright.png", exif=exif)
    images, notes = read(folder)
    np.testing.assert_array_equal(images["turned.png"][..., 0], picture)
    assert len(notes) == 1
    assert "1 images are turned" in notes[0]
    assert "turned.png" in notes[0]


def test_of_several_frames_the_first_is_read_and_they_are_counted(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    images, notes = read(tmp_path)
    assert images["a.gif"].max() == 10
    assert "1 images are of several frames" in notes[0]


def test_a_name_that_is_no_text_is_one_in_the_record(tmp_path, picture):
    Image.fromarray(picture).save(os.fsencode(tmp_path) + b"/\xff.png")
    images, _ = read(tmp_path)
    (name,) = images
    name.encode()
    assert name.endswith(".png")


def write_table(folder, paths, ids=None):
    rows = [{"id": i, "prediction": path} for i, path in zip(ids or range(9), paths, strict=False)]
    table = folder / "table.jsonl"
    table.write_text("\n".join(json.dumps(row) for row in rows))
    return table


def test_a_table_reads_its_own_folder_unless_told_otherwise(tmp_path, picture):
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in (tmp_path / "a.png", folder / "b.png"):
        Image.fromarray(picture).save(path)
    os.symlink(tmp_path, folder / "link")
    for outside in ("../a.png", str(tmp_path / "a.png"), "link/a.png", "x/../../a.png"):
        table = write_table(folder, ["b.png", outside])
        with pytest.raises(MMBenchError, match="1 ids name images outside .*allow_outside=True"):
            read_images(table, "prediction")
        if not outside.startswith("x"):
            assert len(read_images(table, "prediction", allow_outside=True).images) == 2
    inside = write_table(folder, ["b.png", "../mine/b.png", str(folder / "b.png")])
    assert len(read_images(inside, "prediction").images) == 3


@pytest.mark.parametrize(
    ("paths", "ids", "message"),
    [
        (["a.png", "a.png", "a.png"], [1, 2, 1], "1 ids have more than one row: 1"),
        (["a.png", "a.png"], [1, "1"], "1 ids have more than one row: 1"),
        ([3, None], None, "2 ids have a prediction that is not a text"),
        (["\0"], None, "outside"),
        (["b.png"], None, r"1 of 1 images cannot be read: b\.png"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(tmp_path, picture, paths, ids, message):
    Image.fromarray(picture).save(tmp_path / "a.png")
    with pytest.raises(MMBenchError, match=message):
        read_images(write_table(tmp_path, paths, ids), "prediction")
