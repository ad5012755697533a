"""How many requests go to a server at once, how many in all, and how long is waited in between."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

_FIRST = 32  # requests at once, before anything is known of the server
_CROWDED = 0.2  # share of refusals in a round that ends the doubling at the beginning
_GROWTH = 2.0  # of the wait, from one try to the next


class Limit:
    """How many requests go at once: as many as the server takes, at most `most`.

    After each round, of as many requests as go at once, the number falls by half the share that
    was refused (429, time-outs), and grows by one less that share; it doubles until a fifth of a
    round is refused for the first time. So a few refusals that have nothing to do with how much is
    asked, as a gateway gives them, do not bring it down.

    Source: Alizadeh et al., Data Center TCP (DCTCP), 2010, section 3.1: additive increase,
    multiplicative decrease by the share of marks.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = float(min(_FIRST, most))
        self._running = self._ended = self._refused = 0
        self._doubles = True
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def size(self) -> int:
        """How many may go at once now."""
        return int(self._size)

    @property
    def running(self) -> int:
        """How many are under way."""
        return self._running

    async def acquire(self, first: bool = False) -> None:
        """Wait until one more may go.

        Args:
            first: before all others that wait, as a query that was asked before.
        """
        if self._running < self.size and not self._waiting:
            self._running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if first else self._waiting.append)(turn)
        await turn  # whoever ends it has counted it

    def release(self, refused: bool) -> None:
        """One has ended; the server refused it since it is asked too much, or not."""
        self._running -= 1
        self._ended += 1
        self._refused += refused
        if self._ended >= self.size:
            self._end_round()
        while self._waiting and self._running < self.size:
            turn = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)

    def _end_round(self) -> None:
        share = self._refused / self._ended
        self._doubles = self._doubles and share < _CROWDED
        changed = 2 * self._size if self._doubles else self._size * (1 - share / 2) + (1 - share)
        self._size = min(max(changed, 1.0), float(self._most))
        self._ended = self._refused = 0


@dataclass
class Budget:
    """What a run may ask and spend.

    Attributes:
        most_requests: in all, those that failed too; None for any number.
        most_cost: in the currency of the prices; None for any.
        price_in, price_out: of a million tokens read and written.
        longest: the most tokens that an answer has.
        requests: that were begun.
        cost: of those that were answered.
    """

    most_requests: int | None = None
    most_cost: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    longest: int = 0
    requests: int = 0
    cost: float = 0.0
    answered: int = 0

    def price(self, tokens_in: int | None, tokens_out: int | None) -> float:
        """Of one answer."""
        return ((tokens_in or 0) * self.price_in + (tokens_out or 0) * self.price_out) / 1e6

    def spend(self, tokens_in: int | None, tokens_out: int | None) -> None:
        """An answer came."""
        self.cost += self.price(tokens_in, tokens_out)
        self.answered += 1

    def spent(self, running: int) -> str:
        """Why no more may be asked; "" if one more may.

        Args:
            running: requests under way, whose cost is not known yet: each is taken to cost what
                those before it did, or while none is answered what the longest answer does.
        """
        if self.most_requests is not None and self.requests >= self.most_requests:
            return f"the budget of {self.most_requests:,} requests (max_requests) is spent"
        usual = self.cost / self.answered if self.answered else 0.0
        if running and not self.answered:
            usual = self.price(0, self.longest)
        if self.most_cost is not None and self.cost + (running + 1) * usual > self.most_cost:
            return f"the budget of {self.most_cost:g} (max_cost) is spent"
        return ""


def wait_before(tries: int, first: float, asked_for: float | None = None) -> float:
    """Seconds until the next try, drawn from none to twice as much after each, to spread them.

    Args:
        tries: that failed.
        first: the most after the first one.
        asked_for: by the server, which is asked no sooner and little later.
    """
    if asked_for is not None:
        return asked_for * random.uniform(1.0, 1.25)
    return first * _GROWTH ** (tries - 1) * random.random()


def retry_after(milliseconds: str | None, value: str | None) -> float | None:
    """Seconds that a server asks to wait (`retry-after-ms`, `Retry-After`); None if it does not.

    >>> retry_after(None, "2"), retry_after("150", "2"), retry_after(None, "soon")
    (2.0, 0.15, None)
    """
    for text, scale in ((milliseconds, 1e-3), (value, 1.0)):
        try:
            seconds = float(text or "") * scale
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        when = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())
