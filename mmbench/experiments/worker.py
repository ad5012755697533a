"""A process that carries out runs for another one, which it is told of on its standard input.

It ends when that input ends: whoever started it is done with it, was stopped, or died. A run that
is under way then stops as at Ctrl-C: Java programs end, and what is kept of its training stays.
"""

from __future__ import annotations

import _thread
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

from mmbench.errors import Interrupted, MMBenchError, in_one_line
from mmbench.experiments.plan import Splits
from mmbench.experiments.run import carry_out
from mmbench.experiments.watch import Watch
from mmbench.loggers.base import Outcome
from mmbench.option_words import on_command_line
from mmbench.records.record import Record

_EVERY = 0.2  # seconds between reports of steps: on a GPU each look at the loss waits for it
_PATIENCE = 2.0  # seconds that a run gets to stop
_STOPPED = 128 + signal.SIGTERM

Order = tuple[Any, list[str]]  # a request, and notes for its record


class _Reports(Watch):
    """Tells whoever started this process how a run goes.

    Args:
        send: takes what can be pickled.
    """

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._steps = self._samples = 0
        self._sent = 0.0

    def says(self, line: str) -> None:
        self._send("told", "says", (line,))

    def read(self, what: str, done: int, of: int) -> None:
        self._send("told", "read", (what, done, of))

    def began(self, model: str, seed: int) -> None:
        self._send("told", "began", (model, seed))

    def will_record(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._send("told", "will_record", (folder, settings))

    def started(self, epochs: int, steps: int, epoch: int) -> None:
        self._steps = self._samples = 0
        self._send("told", "started", (epochs, steps, epoch))

    def stepped(self, loss: Callable[[], float], samples: int, steps: int = 1) -> None:
        self._steps += steps
        self._samples += samples
        now = time.perf_counter()
        if now - self._sent >= _EVERY:
            self._send("stepped", loss(), self._samples, self._steps)
            self._steps = self._samples = 0
            self._sent = now

    def finished_epoch(self, entry: dict[str, Any]) -> None:
        self._steps = self._samples = 0
        self._send("told", "finished_epoch", (entry,))

    def started_answering(self, samples: int) -> None:
        self._send("told", "started_answering", (samples,))

    def answered(self, samples: int) -> None:
        self._send("told", "answered", (samples,))

    def done(self) -> None:
        self._send("told", "done", ())

    def ended(self, outcome: Outcome, records: Sequence[Record] = ()) -> None:
        self._send("told", "ended", (outcome, records))


class _Orders:
    """The requests that come on standard input, and its end."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._open = 0  # orders that are not carried out yet
        self._stopping = threading.Event()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: whoever started this is told
        signal.signal(signal.SIGTERM, self._stop)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        threading.Thread(target=self._follow, daemon=True).start()

    def next(self) -> Order | None:
        """The next one; None once there are no more."""
        return self._orders.get()

    def carried_out(self) -> None:
        """The last one is done with."""
        self._open -= 1

    def _follow(self) -> None:
        with suppress(EOFError, pickle.UnpicklingError, OSError):
            while True:
                order = pickle.load(self._stream)
                self._open += 1
                self._orders.put(order)
        self._orders.put(None)
        if self._open:
            _interrupt_main()
            time.sleep(_PATIENCE)
            os._exit(_STOPPED)  # what was kept so far is whole

    def _stop(self, *_: object) -> None:
        """Once: a second interruption would cut off what the first one lets end."""
        if not self._stopping.is_set():
            self._stopping.set()
            raise KeyboardInterrupt


def _interrupt_main() -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGTERM)  # wakes it also where it waits
    else:
        _thread.interrupt_main(signal.SIGTERM)


@on_command_line()  # whoever started this puts what it says into their words
def main() -> None:
    """Carry out requests until there are no more, or one of them breaks."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anyone prints is no reply
    sending = threading.Lock()

    def send(*message: Any) -> None:
        with sending, suppress(OSError):  # nobody is there: the end of input stops this
            pickle.dump(message, replies)
            replies.flush()

    try:
        orders = _Orders(sys.stdin.buffer)
        read: dict[str, Splits] = {}  # by one run, for the next
        while (order := orders.next()) is not None:
            request, notes = order
            outcome: tuple[Any, ...]
            try:
                result = carry_out(request, _Reports(send), read, notes)
                outcome = "done", str(result.path), result.reused
            except MMBenchError as error:
                outcome = "failed", str(error)
            except Exception as error:
                outcome = "crashed", _in_a_line(error), _text(error)
            orders.carried_out()
            send(*outcome)
            if outcome[0] == "crashed":
                return  # a device may be left broken: the next run gets a process of its own
    except (KeyboardInterrupt, Interrupted):
        os._exit(_STOPPED)


def _in_a_line(error: Exception) -> str:
    kind, says = type(error).__name__, in_one_line(error)
    return says if says.startswith(kind) else f"{kind}: {says}"


def _text(error: Exception) -> str:
    return "".join(traceback.format_exception(error))
