import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mmbench.errors import MMBenchError
from mmbench.records.locks import held

ROOT = Path(__file__).resolve().parents[2]
HOLDS = """
import sys
from pathlib import Path
from mmbench.records.locks import held
root = Path(sys.argv[1])
with held(root, root / "a" / "seed-0", print):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `seed-0` until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    with process:
        yield process
        process.kill()


@pytest.mark.parametrize("end", ["kill", "ends"])
def test_another_waits_says_for_whom_and_goes_on_when_that_process_ends(holder, tmp_path, end):
    lines = []

    def says(line):
        lines.append(line)
        holder.kill() if end == "kill" else holder.stdin.close()

    with held(tmp_path, tmp_path / "a" / "seed-0", says):
        pass
    assert len(lines) == 1
    assert f"process {holder.pid} on " in lines[0]


def test_another_record_is_not_waited_for(holder, tmp_path):
    lines = []
    with held(tmp_path, tmp_path / "a" / "seed-1", lines.append):
        pass
    assert lines == []


def test_nothing_is_left_but_the_lock_of_the_root(tmp_path):
    with held(tmp_path, tmp_path / "a" / "b" / "seed-0", print):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == [".lock"]


def test_it_is_let_go_after_an_error_and_other_files_are_kept(tmp_path):
    folder = tmp_path / "a" / "seed-0"

    def fails():
        with held(tmp_path, folder, print):
            folder.mkdir(parents=True, exist_ok=True)
            raise ValueError("mine")

    for _ in range(2):
        with pytest.raises(ValueError, match="mine"):
            fails()
    assert folder.is_dir()


def test_many_threads_hold_it_one_after_the_other(tmp_path):
    inside, most = 0, 0

    def once():
        nonlocal inside, most
        with held(tmp_path, tmp_path / "seed-0", lambda _: None):
            inside += 1
            most = max(most, inside)
            (tmp_path / "seed-0").mkdir()  # raises where another is inside
            (tmp_path / "seed-0").rmdir()
            inside -= 1

    threads = [threading.Thread(target=once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_folder_that_cannot_be_written_is_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(MMBenchError, match="cannot write to"),
        held(tmp_path / "file", tmp_path / "file" / "seed-0", print),
    ):
        pass
