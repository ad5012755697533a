"""Ctrl-C and SIGTERM end the command with one line, and with an exit code that says which it was.

A cluster sends SIGTERM some seconds before it kills: it is handled like Ctrl-C, so that children
are ended and what is kept is said.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from mmbench.cli.output import complain
from mmbench.errors import Interrupted

_STOPS = ("SIGTERM", "SIGHUP")  # Windows lacks the second
_AFTER_HOOK = 0.01  # seconds: within the hook it would be lost again
_received: list[int] = []  # signals, in their order


@contextmanager
def stopping_in_a_line() -> Iterator[None]:
    """Within, Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt; it ends the process here.

    Exit code: 128 and the signal's number, which is 130 for Ctrl-C and 143 for SIGTERM.
    """
    _listen()
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as error:
        _end(str(error) or "stopped")
    except (Exception, SystemExit):
        if _received:  # whoever was interrupted made an error of its own of it
            _end("stopped")
        raise


def _listen() -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as by nohup
        signal.signal(signal.SIGINT, _on_signal)
    for name in _STOPS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _on_signal)
    sys.unraisablehook = _on_unraisable


def _on_signal(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    raise KeyboardInterrupt


def _on_unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Raised in a destructor or a callback it would be lost, and Ctrl-C ignored: raise it again."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    number = signal.Signals(_received.pop() if _received else signal.SIGINT)
    again = threading.Timer(_AFTER_HOOK, _interrupt_main, [number])
    again.daemon = True
    again.start()


def _interrupt_main(number: signal.Signals) -> None:
    """Send the main thread a signal, from another one."""
    thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and thread is not None:
        signal.pthread_kill(thread, number)  # wakes it also where it waits
    else:
        _thread.interrupt_main(number)


def _end(line: str) -> None:
    """Say it and end now: threads that wait for something would hold an ordinary exit up."""
    processes: Any = sys.modules.get("multiprocessing")
    for child in processes.active_children() if processes else ():
        child.terminate()
    with suppress(OSError, ValueError):  # the terminal may be gone
        sys.stdout.flush()
        if sys.stderr.isatty():
            sys.stderr.write("\n")  # after the ^C that a terminal shows
        complain(f"mmbench: {line}")
    os._exit(128 + (_received[-1] if _received else signal.SIGINT))
