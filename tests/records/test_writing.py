"""A record that is replaced is the old one or the new one, at every instant."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.records import store
from mmbench.records.writing import put_in_place, restore_stranded

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def record(mini, tmp_path):
    return mmbench.run("vqa", "majority", dataset=mini, out=tmp_path / "results").path


def strand(folder: Path) -> None:
    """As a process leaves it that is killed between the two renames."""
    os.rename(folder, folder.parent / f".{folder.name}.{uuid.uuid4().hex}.old")


REPLACES = """
import os, signal, sys
from pathlib import Path
from mmbench.records.store import read_record, write_record
folder = Path(sys.argv[1])
rename, seen = os.rename, []
def counted(*names):
    seen.append(names)
    if len(seen) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*names)
os.rename = counted
files = {"predictions.parquet": b"new"}
write_record(folder, read_record(folder), files)
"""


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_process_killed_while_it_replaces_a_record_leaves_the_old_one(record, step):
    before = {p.name: p.read_bytes() for p in record.iterdir()}
    done = subprocess.run([sys.executable, "-c", REPLACES, str(record), str(step)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert record.exists() == (step < 3)
    assert store.find_records([record.parents[4]]) == [record]
    assert {p.name: p.read_bytes() for p in record.iterdir()} == before
    store.write_record(record, store.read_record(record), {})
    store.clear(record)
    assert [p.name for p in record.parent.iterdir()] == [record.name]


@pytest.mark.parametrize("by", ["run", "report", "show", "report of its folder"])
def test_whoever_looks_puts_a_stranded_record_back(record, mini, mmbench, mini_folder, by):
    strand(record)
    out = record.parents[4]
    if by == "run":
        import mmbench as package

        assert package.run("vqa", "majority", dataset=mini, out=out).reused
    else:
        command = by.split()[0]
        done = mmbench(command, str(record if by != "report" else out))
        assert done.returncode == 0, done.stderr
        assert "majority" in done.stdout.lower()
    assert [p.name for p in record.parent.iterdir()] == [record.name]


def test_a_reader_between_the_two_renames_finds_a_whole_record(record, monkeypatch):
    old, rename, found = store.read_record(record), os.rename, []

    def look_after(*names):
        rename(*names)
        if Path(names[0]) == record and len(found) < 3:
            found.append(store.find_records([record.parents[4]]))

    monkeypatch.setattr(os, "rename", look_after)
    store.write_record(record, old, {"predictions.parquet": b"new"})
    assert found == [[record]] * 3
    assert (record / "predictions.parquet").read_bytes() == b"new"
    assert [p.name for p in record.parent.iterdir()] == [record.name]


def test_a_half_written_record_is_never_put_back(tmp_path):
    folder = tmp_path / "seed-0"
    folder.mkdir()
    (folder / "predictions.parquet").write_bytes(b"half")
    strand(folder)
    assert not restore_stranded(folder, "run.json")
    assert not folder.exists()


def test_the_newest_of_several_is_put_back(tmp_path):
    folder = tmp_path / "seed-0"
    for time, content in ((200, "new"), (100, "old")):
        folder.mkdir()
        (folder / "run.json").write_text(content)
        os.utime(folder / "run.json", (time, time))
        strand(folder)
    assert restore_stranded(folder, "run.json")
    assert (folder / "run.json").read_text() == "new"


def test_what_cannot_be_renamed_leaves_the_record(record, tmp_path, monkeypatch):
    rename = os.rename

    def no_second(source, target):
        if Path(source).name == "made":
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", no_second)
    made = record.parent / "made"
    made.mkdir()
    with pytest.raises(OSError, match="denied"):
        put_in_place(made, record, "run.json")
    assert (record / "run.json").is_file()


def test_a_stranded_record_that_cannot_be_put_back_is_named(record, monkeypatch):
    strand(record)

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", denied)
    with pytest.raises(MMBenchError, match=r"cannot be put back: Permission denied"):
        store.find_records([record.parents[4]])


def test_leftovers_of_one_seed_are_not_those_of_another(tmp_path):
    for name in (".seed-1-abc", ".seed-10-abc", ".seed-1.training", "seed-1"):
        (tmp_path / name).mkdir()
    store.clear(tmp_path / "seed-1")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".seed-1.training",
        ".seed-10-abc",
        "seed-1",
    ]
