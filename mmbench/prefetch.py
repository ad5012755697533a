"""The next batch is made while this one trains."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(items: Iterator[T]) -> Generator[T, None, None]:
    """The items, each of which a thread makes while whoever asks is busy with the one before.

    An error in making one is raised where it is asked for. Whoever stops early leaves no thread.

    >>> list(prefetched(iter([1, 2])))
    [1, 2]
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        following = pool.submit(next, items, end)
        while (item := following.result()) is not end:
            following = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
