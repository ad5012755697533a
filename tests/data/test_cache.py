"""A damaged cache is made anew with a line; a full one is a line and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.data.cache import cache_folder, read_note, sealing, write_note
from mmbench.data.decoding import open_media
from mmbench.data.images import ImageDecoder
from mmbench.data.stored import File, Stamp, Stored
from mmbench.errors import MMBenchError
from tests.conftest import command_line, environment, root_bound_by_rights
from tests.data.layouts import FOLDERS


@pytest.fixture
def media(tmp_path, monkeypatch):
    """Three images whose notes are kept, since they look old."""
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for n, path in enumerate(paths):
        Image.new("RGB", (8, 8), (n, 0, 0)).save(path)
        os.utime(path, (1, 1))
    return [File(path) for path in paths]


def shades(media) -> list[int]:
    found = open_media(media, ImageDecoder(8))
    assert not found.bad
    return found.media.values[:, 0, 0, 0].tolist()


def only(folder: str) -> Path:
    [path] = (cache_folder() / folder).iterdir()
    return path


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how == "another shape":
        with sealing(path) as file:
            np.save(file, np.zeros((2, 8, 8, 3), np.uint8))
    elif how == "another type":
        with sealing(path) as file:
            np.save(file, np.zeros((3, 8, 8, 3), np.int8))
    elif how == "a byte":
        path.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    else:
        changed = {
            "truncated": content[: len(content) // 2],
            "empty": b"",
            "zeros": content[:128].ljust(len(content), b"\0"),
            "all zeros": bytes(len(content)),
            "text": b"hello",
        }
        path.write_bytes(changed[how])


HOW = ["truncated", "empty", "zeros", "all zeros", "a byte", "text", "a folder"]


@pytest.mark.parametrize("how", [*HOW, "another shape", "another type"])
def test_damaged_decoded_media_are_decoded_anew_with_one_line(media, how, caplog):
    assert shades(media) == [0, 1, 2]
    path = only("images")
    damage(path, how)
    assert shades(media) == [0, 1, 2]
    [line] = caplog.messages
    assert str(path) in line
    assert "made anew" in line
    assert shades(media) == [0, 1, 2]
    assert len(caplog.messages) == 1
    assert only("images") == path


NOTES = ["", "{", "[]", "7", "null", '{"digest": 3, "bad": []}', "[" * 100_000, "\0" * 300]


@pytest.mark.parametrize("text", NOTES)
def test_a_damaged_note_is_written_anew_with_one_line(media, text, caplog):
    shades(media)
    path = only("known")
    before = path.read_bytes()
    path.write_text(text)
    assert shades(media) == [0, 1, 2]
    assert path.read_bytes() == before
    [line] = caplog.messages
    assert str(path) in line


def test_a_note_of_another_result_is_not_believed(media, caplog):
    shades(media)
    path = only("known")
    path.write_text(path.read_text().replace('"bad": {}', '"bad": {"1": "because"}'))
    assert shades(media) == [0, 1, 2]
    assert len(caplog.messages) == 1


def test_notes_are_read_as_they_were_written(tmp_path):
    write_note(tmp_path / "note", {"bad": {3: "why"}, "text": "é"})
    assert read_note(tmp_path / "note") == {"bad": {"3": "why"}, "text": "é"}
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


class Flaky(Stored):
    """An image on a disk that fails at first."""

    def __init__(self, fails: int) -> None:
        self.fails = fails

    def __str__(self) -> str:
        return "flaky"

    def stamp(self) -> Stamp:
        return Stamp("flaky", 1)

    def content(self) -> bytes:
        self.fails -= 1
        if self.fails >= 0:
            raise OSError(5, "Input/output error")
        return Path(os.environ["MMBENCH_CACHE"]).with_name("2.png").read_bytes()


@pytest.mark.parametrize("when", ["it is read", "it is read again to be decoded"])
def test_a_failure_to_read_is_never_kept(media, when, monkeypatch):
    if when != "it is read":
        monkeypatch.setattr(Flaky, "digest", lambda self: b"digest")
    flaky = Flaky(1)
    found = open_media([flaky, media[0]], ImageDecoder(8))
    assert "Input/output error" in found.bad[0]
    assert shades([flaky, media[0]]) == [2, 0]


def prepare(folder: Path, cache: Path, *before: str, **options) -> subprocess.CompletedProcess[str]:
    command = command_line("data", "prepare", "clevr", "--data-dir", ".", "--split", "val")
    env = environment() | {"MMBENCH_CACHE": str(cache)}
    return subprocess.run(
        [*before, *command], cwd=folder, env=env, capture_output=True, text=True, **options
    )


def _at_most_100_kb() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_full_disk_is_one_line_and_exit_code_2(tmp_path):
    FOLDERS["clevr"](tmp_path / "clevr")
    cache = tmp_path / "cache"
    done = prepare(tmp_path / "clevr", cache, preexec_fn=_at_most_100_kb)
    assert done.returncode == 2
    assert done.stderr.startswith(f"mmbench: cannot write the cache {cache}/images: ")
    assert "Make room" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves nothing")
def test_room_is_reserved_before_anything_is_decoded(media, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(ImageDecoder, "decode", lambda *_: pytest.fail("it was decoded"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(MMBenchError, match="set MMBENCH_CACHE"):
            open_media(media, ImageDecoder(8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_folders_of_the_cache_that_may_not_be_read_are_put_aside(tmp_path):
    FOLDERS["clevr"](tmp_path / "clevr")
    cache = tmp_path / "cache"
    whole = prepare(tmp_path / "clevr", cache)
    assert whole.returncode == 0, whole.stderr
    bound = root_bound_by_rights()
    (cache / "images").chmod(0)
    done = prepare(tmp_path / "clevr", cache, *bound)
    assert done.returncode == 0, done.stderr
    assert done.stdout == whole.stdout
    assert "Permission denied" in done.stderr
    assert "made anew" in done.stderr
    assert "Traceback" not in done.stderr
    cache.chmod(0)
    done = prepare(tmp_path / "clevr", cache, *bound)
    cache.chmod(0o755)
    assert done.returncode == 2
    assert "set MMBENCH_CACHE" in done.stderr
    assert done.stderr.count("\n") == 1


def test_absurdly_large_media_are_refused_before_anything_is_read(media):
    with pytest.raises(MMBenchError, match=r"\(300000, 300000, 3\) takes 270\.0 GB"):
        open_media(media, ImageDecoder(300_000))


def test_the_cache_is_where_it_was(monkeypatch, tmp_path):
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("MMBENCH_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform.startswith("linux"):
        assert cache_folder() == tmp_path / "xdg" / "mmbench"
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache_folder() == tmp_path / ".cache" / "mmbench"


def test_the_end_of_a_file_is_not_ctrl_c(tmp_path):
    """It is a bug with its traceback, although the parser of the command line knows Ctrl-D."""
    code = (
        "from mmbench.cli import data, main\n"
        "def fail(): raise EOFError('no data left')\n"
        "data.list_text = fail\n"
        "import sys; sys.argv[1:] = ['data', 'list']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "EOFError: no data left" in done.stderr
