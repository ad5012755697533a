"""Arrays from elsewhere: headers are held against the size of the file."""

import struct
import zipfile

import numpy as np
import pytest

from mmbench.data.array_files import read_archive, read_array
from mmbench.errors import MMBenchError


def npy(shape, descr="<f8", content=b"\0" * 80):
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


ODD = {
    "more numbers than there are": npy((10**6, 10**6)),
    "more than any file has": npy((10**15, 10**15)),
    "a negative length": npy((-1, 3)),
    "no shape": npy("abc"),
    "Python objects": npy((1,), "|O"),
    "text": b"hello",
    "nothing": b"",
    "another version": b"\x93NUMPY\x03\x00" + b"\0" * 9,
    "a header in brackets": b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"(" * 60_000,
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
def test_what_is_no_array_is_one_line_before_anything_is_allocated(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("scores.npy", content)
    for read in (
        lambda: read_array(tmp_path / "a.npy"),
        lambda: read_archive(tmp_path / "a.npz", ["scores"]),
    ):
        with pytest.raises(MMBenchError) as error:
            read()
        assert "\n" not in str(error.value)


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("image", "other"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(npy((150, 10**6), "|u1", b""))
                for _ in range(150):
                    member.write(bytes(10**6))
        archive.writestr("text.npy", npy((2, 5)))
    with pytest.raises(MMBenchError, match="would unpack from"):
        read_archive(tmp_path / "a.npz", ["image", "text"])
    # What is not asked for is not unpacked.
    assert list(read_archive(tmp_path / "a.npz", ["text", "scores"])) == ["text"]


def test_arrays_are_those_that_were_saved(tmp_path):
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.save(tmp_path / "a.npy", values)
    np.savez_compressed(tmp_path / "a.npz", scores=values, image=values[:0])
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), values)
    found = read_archive(tmp_path / "a.npz", ["scores", "image"])
    np.testing.assert_array_equal(found["scores"], values)
    assert found["image"].shape == (0, 3)
    damaged = bytearray((tmp_path / "a.npz").read_bytes())
    damaged[70] ^= 255
    (tmp_path / "b.npz").write_bytes(damaged)
    with pytest.raises(MMBenchError):
        read_archive(tmp_path / "b.npz", ["scores", "image"])
