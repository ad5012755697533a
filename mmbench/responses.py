"""What models answered, kept as it comes: a run that was cut off asks for nothing twice.

A response is found again by a hash of all that decides it: what was asked (rendered messages, the
content of media), the settings of generation, the model and its revision, and which draw it is. It
lies in a database of SQLite in the cache, one a model, that several processes write at once.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from mmbench.data.cache import cache_folder, making
from mmbench.data.media import MediaRef
from mmbench.errors import MMBenchError

FOLDER = "responses"  # of the cache
_FILE = "responses.sqlite"
_PATIENCE = 60.0  # seconds that one process waits for another one's write
_AT_ONCE = 500  # keys looked up in one question to the database
_PLAIN = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered.

    Attributes:
        written: its text.
        tokens_in, tokens_out: how many it read and wrote, where it says.
        seconds: that it took.
        model: what the server calls the model that answered.
    """

    written: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float | None = None
    model: str | None = None


class Responses:
    """The responses of a model that are kept. Close it, or use it in a `with`.

    Args:
        model: what it is called; each has a database of its own.
    Raises: MMBenchError if the database cannot be read or written.
    """

    def __init__(self, model: str) -> None:
        mark = hashlib.sha256(model.encode()).hexdigest()[:8]
        self.folder = cache_folder() / FOLDER / f"{_PLAIN.sub('-', model)[:60].strip('-')}-{mark}"
        file = self.folder / _FILE
        with making(file), self._errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            # Of one thread at a time, but not always of the one that opened it.
            self._database = sqlite3.connect(
                file, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")  # whole after a kill, not a crash
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS responses "
                "(key TEXT PRIMARY KEY, response TEXT NOT NULL, kept REAL NOT NULL) WITHOUT ROWID"
            )

    def get(self, keys: Sequence[str]) -> dict[str, Response]:
        """Those that are kept, by key.

        Raises: MMBenchError if they cannot be read.
        """
        found: dict[str, Response] = {}
        wanted = list(dict.fromkeys(keys))
        with self._errors():
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                places = ",".join("?" * len(some))
                rows = self._database.execute(
                    f"SELECT key, response FROM responses WHERE key IN ({places})", some
                )
                found |= {key: Response(**json.loads(text)) for key, text in rows}
        return found

    def put(self, key: str, response: Response) -> None:
        """Keep a response, from now on whatever happens to this process.

        Raises: MMBenchError if it cannot be written, such as on a full disk.
        """
        self.put_all({key: response})

    def put_all(self, responses: Mapping[str, Response]) -> None:
        """Keep some, by key: all or none.

        Raises: MMBenchError if they cannot be written.
        """
        now = time.time()
        rows = [(key, json.dumps(asdict(each)), now) for key, each in responses.items()]
        with self._errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(
                    "INSERT OR REPLACE INTO responses VALUES (?, ?, ?)", rows
                )
                self._database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # it may be over by itself
                    self._database.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """No more is read or written."""
        self._database.close()

    def __enter__(self) -> Responses:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            why = getattr(error, "strerror", None) or error
            raise MMBenchError(
                f"the answers that are kept in {self.folder} cannot be read or written: {why}. "
                "Those got so far are kept. Make room there, move the folder away, or set "
                "MMBENCH_CACHE to another one"
            ) from None


def response_key(**deciding: Any) -> str:
    """The hash of all that decides a response, as plain JSON."""
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=4096)  # what is asked about one medium mostly comes together
def media_digest(medium: MediaRef) -> str:
    """SHA-256 of a medium's values and their shape."""
    values = medium.array()
    content = hashlib.sha256(f"{values.dtype} {values.shape} {medium.rate}".encode())
    content.update(values.tobytes())
    return content.hexdigest()
