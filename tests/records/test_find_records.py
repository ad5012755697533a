import os

import pytest

from mmbench.errors import MMBenchError
from mmbench.records.store import find_records


@pytest.fixture
def root(tmp_path):
    for name in ("a/seed-0", "b/seed-0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
    return tmp_path


def test_another_file_than_a_record_is_refused_and_not_taken_for_its_folder(root):
    (root / "notes.txt").write_text("mine")
    with pytest.raises(MMBenchError, match=r"notes.txt is not a record"):
        find_records([root / "notes.txt"])
    assert find_records([root / "a" / "seed-0" / "run.json"]) == [root / "a" / "seed-0"]


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_found(root, monkeypatch):
    scan = os.scandir

    def denied(path):
        if os.fspath(path) == os.fspath(root / "a"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    problems = {}
    assert find_records([root], problems.__setitem__) == [root / "b" / "seed-0"]
    assert list(problems) == [root / "a"]
    assert "Permission denied" in problems[root / "a"]
    with pytest.raises(MMBenchError, match="cannot be read: Permission denied"):
        find_records([root])
