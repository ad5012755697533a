"""Asks a server many things at once, again where that may help, and no longer than it makes sense.

It runs in a thread with an event loop of its own, so that it works inside a notebook's loop too.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from mmbench.errors import MMBenchError
from mmbench.predictors.limits import Budget, Limit, wait_before
from mmbench.responses import Response
from mmbench.task import Failure

GRACE = 1.5  # seconds that requests under way get when all is stopped: they may be paid for
LONGEST_WAIT = 300.0  # seconds that a server may ask to wait
_GIVE_UP = 20  # queries in a row that failed, after which no more are asked
_ABSENT_TRIES = 3  # of a server that has answered nothing yet
_LIVE = 4  # queries begun, those that wait to be asked again too, over requests at once

T = TypeVar("T")


class Refused(Exception):
    """A request that was not answered.

    Args:
        reason: in a few words, the same for all of its kind.
        again: whether asking again may help.
        crowded: whether the server is asked too much.
        wait: seconds that the server asks to wait.
        absent: whether there is no server.
    """

    def __init__(
        self,
        reason: str,
        *,
        again: bool = False,
        crowded: bool = False,
        wait: float | None = None,
        absent: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        self.crowded = crowded
        self.wait = wait
        self.absent = absent


class Asking(Generic[T]):
    """Asks all of some queries.

    Args:
        ask: asks one; raises `Refused`, or MMBenchError where no other query would be answered.
        ended: called with a query's key and its response or failure, and how many requests it took.
        limit, budget: see `limits.py`.
        retries: of one query.
        wait: seconds before the first of them.
    """

    def __init__(
        self,
        ask: Callable[[T], Awaitable[Response]],
        ended: Callable[[str, Response | Failure, int], None],
        *,
        limit: Limit,
        budget: Budget,
        retries: int,
        wait: float,
    ) -> None:
        self._ask, self._ended = ask, ended
        self._limit, self._budget = limit, budget
        self._retries, self._wait = retries, wait
        self._under_way: set[asyncio.Task[Any] | None] = set()
        self._answered = False
        self._over = False  # since one request said that no other would be answered
        self._failed_in_a_row = 0
        self._last_reason = ""

    async def all(self, queries: Iterable[tuple[str, T]], most: int) -> None:
        """Ask them; as they end, `ended` is called.

        Args:
            queries: with their keys.
            most: requests at once.
        Where it is cancelled, requests that are under way still get a moment.

        Raises: MMBenchError if nothing is answered, or nothing would be.
        """
        live = asyncio.Semaphore(_LIVE * most)
        tasks: set[asyncio.Task[None]] = set()
        broken: list[BaseException] = []

        def over(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            live.release()
            if not task.cancelled() and (error := task.exception()) is not None:
                broken.append(error)
                self._over = True
                for other in tasks:
                    other.cancel()

        try:
            for key, query in queries:
                await live.acquire()
                await self._limit.acquire()
                if self._over:
                    break
                if why := self._why_no_more():
                    self._limit.release(refused=False)
                    live.release()
                    self._ended(key, Failure(why), 0)
                    continue
                self._budget.requests += 1
                task = asyncio.create_task(self._one(key, query))
                tasks.add(task)
                task.add_done_callback(over)
            while tasks and not self._over:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for task in tasks - self._under_way:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=GRACE)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if broken:
            raise broken[0]

    def _why_no_more(self) -> str:
        if (spent := self._budget.spent(self._limit.running - 1)) or (
            self._failed_in_a_row < _GIVE_UP
        ):
            return spent
        if not self._answered:
            raise MMBenchError(
                f"the first {self._failed_in_a_row} queries all failed ({self._last_reason}): no "
                "more are asked"
            )
        return f"not asked, since {_GIVE_UP} others in a row failed"

    async def _one(self, key: str, query: T) -> None:
        """Ask one query, whose first request is counted and let through, until it is answered."""
        tries = 1
        while True:
            refused: Refused | None = None
            self._under_way.add(asyncio.current_task())
            try:
                response = await self._ask(query)
            except Refused as error:
                refused = error
            except Exception:
                self._over = True
                raise
            finally:
                self._under_way.discard(asyncio.current_task())
                self._limit.release(refused is not None and refused.crowded)
            if refused is None:
                self._answered, self._failed_in_a_row = True, 0
                self._budget.spend(response.tokens_in, response.tokens_out)
                self._ended(key, response, tries)
                return
            if refused.absent and not self._answered and tries >= _ABSENT_TRIES:
                self._over = True
                raise MMBenchError(refused.reason)
            wait = wait_before(tries, self._wait, refused.wait)
            if not refused.again or tries > self._retries or wait > LONGEST_WAIT:
                self._fail(key, refused.reason, tries)
                return
            await asyncio.sleep(wait)
            await self._limit.acquire(first=True)
            if why := self._budget.spent(self._limit.running - 1):
                self._limit.release(refused=False)
                self._ended(key, Failure(why), tries)
                return
            self._budget.requests += 1
            tries += 1

    def _fail(self, key: str, reason: str, tries: int) -> None:
        self._failed_in_a_row += 1
        self._last_reason = reason
        self._ended(key, Failure(reason), tries)


def from_thread(
    work: Callable[[Callable[[T], None]], Coroutine[Any, Any, None]],
) -> Generator[T, None, None]:
    """What asynchronous work gives, as it comes, from a thread of its own.

    Closing the iterator cancels the work and waits for its end.

    Args:
        work: is given a function to call with each value.
    Raises: whatever the work raises, once it does.
    """
    given: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(work(lambda value: given.put(("value", value))))

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            given.put(("error", error))
        else:
            given.put(("end", None))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    thread = Thread(target=run, name="asking", daemon=True)
    frozen = not gc.get_freeze_count()
    if frozen:  # else all that is imported is looked through now and then, and nothing asked
        gc.freeze()
    thread.start()
    try:
        while True:
            kind, value = given.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        with suppress(RuntimeError):  # the loop is closed: the work is done
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        if frozen:
            gc.unfreeze()
