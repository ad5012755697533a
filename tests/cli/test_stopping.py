"""Ctrl-C and SIGTERM: one line, the right exit code, nothing left running."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import command_line, environment

ROOT = Path(__file__).resolve().parents[2]
RUN = ("run", "--task", "vqa", "--model")

SIGNALS_ITSELF_AT_IMPORT_OF = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""


def python(code, *arguments, **options):
    """A Python for which Ctrl-C is not ignored, as it is in the background."""
    listens = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    return subprocess.run(
        [sys.executable, "-c", listens + code, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        **options,
    )


@pytest.mark.parametrize("module", ["mmbench.cli.stopping", "typer", "mmbench.cli.show", "torch"])
def test_ctrl_c_while_modules_are_imported_is_a_line(module, tmp_path):
    code = SIGNALS_ITSELF_AT_IMPORT_OF.format(module=module)
    code += "from mmbench.cli import main; main()"
    done = python(code, "show", "gated_fusion", "--task", "vqa")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mmbench: stopped\n")


INSIDE = "import os, signal\nfrom mmbench.cli.stopping import stopping_in_a_line\n"


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_each_signal_has_its_exit_code_also_where_it_became_another_error(name, code):
    body = f"""
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which `nohup pytest` leaves ignored
with stopping_in_a_line():
    try:
        os.kill(os.getpid(), signal.{name})
    except KeyboardInterrupt:
        raise {{}}
"""
    for error in ("", "RuntimeError", "SystemExit(2)"):
        done = python(INSIDE + body.format(error))
        assert (done.returncode, done.stderr) == (code, "mmbench: stopped\n")


def test_ctrl_c_in_a_destructor_is_not_lost():
    body = """
import threading
class Interrupted:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000): pass
with stopping_in_a_line():
    Interrupted()
    threading.Event().wait(60)
"""
    done = python(INSIDE + body)
    assert (done.returncode, done.stderr) == (143, "mmbench: stopped\n")


def test_a_thread_that_waits_holds_the_end_up_no_longer():
    body = """
import threading
with stopping_in_a_line():
    threading.Thread(target=threading.Event().wait).start()
    os.kill(os.getpid(), signal.SIGINT)
"""
    assert python(INSIDE + body, timeout=60).returncode == 130


def test_an_ignored_ctrl_c_stays_ignored():
    body = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
with stopping_in_a_line():
    os.kill(os.getpid(), signal.SIGINT)
print("went on")
"""
    assert python(INSIDE + body).stdout == "went on\n"


def test_the_end_of_a_file_is_a_bug_and_no_ctrl_c():
    code = """
import mmbench.cli.listing
def list_text(*_):
    raise EOFError("a truncated cache")
mmbench.cli.listing.list_text = list_text
from mmbench.cli import main; main()
"""
    done = python(code, "list", "models")
    assert done.returncode == 1
    assert "EOFError: a truncated cache" in done.stderr
    assert "stopped" not in done.stderr


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.whole)],
)
def test_a_stopped_training_is_kept_and_the_same_command_goes_on(
    mini_folder, tmp_path, mmbench, number, code
):
    arguments = (*RUN, "concat_fusion", "--dataset", str(mini_folder / "mini.yaml"), "--train")
    arguments += ("--set", "train.epochs=10")
    process = subprocess.Popen(
        command_line(*arguments),
        cwd=tmp_path,
        env=environment(mini_folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background inherit that it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    seen = ""
    for line in process.stderr:
        seen += line
        if "epoch 1/10" in line:
            process.send_signal(number)
            break
    seen += process.stderr.read()
    assert process.wait() == code
    assert "the same command goes on" in seen
    assert "Traceback" not in seen
    assert not list(tmp_path.rglob("run.json"))
    done = mmbench(*arguments)
    assert done.returncode == 0
    assert "goes on after epoch" in done.stderr
