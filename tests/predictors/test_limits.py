"""How many requests go at once."""

import asyncio

import pytest

from mmbench.predictors.asking import from_thread
from mmbench.predictors.limits import Limit, retry_after, wait_before


def sizes(limit, rounds, refused):
    """The limit after each of some rounds, of which a function says how many were refused."""

    async def run():
        found = []
        for _ in range(rounds):
            size = limit.size
            for _ in range(size):
                await limit.acquire()
            for number in range(size):
                limit.release(number < refused(size))
            found.append(limit.size)
        return found

    return asyncio.run(run())


def test_it_doubles_up_to_the_most_where_nothing_is_refused():
    assert sizes(Limit(200), 4, lambda size: 0) == [64, 128, 200, 200]


def test_it_settles_a_little_above_what_the_server_takes():
    found = sizes(Limit(200), 200, lambda size: max(0, size - 32))
    assert all(32 <= size <= 42 for size in found[-50:])


def test_it_goes_down_to_one_where_all_is_refused():
    assert sizes(Limit(64), 8, lambda size: size)[-1] == 1


def test_a_few_refusals_at_random_do_not_bring_it_down():
    assert min(sizes(Limit(64), 100, lambda size: round(size * 0.05))[3:]) >= 38


def test_who_was_asked_before_goes_first():
    async def run():
        limit, order = Limit(1), []

        async def go(name, first):
            await limit.acquire(first)
            order.append(name)
            limit.release(refused=True)

        await limit.acquire()
        tasks = [asyncio.create_task(go(*each)) for each in (("new", False), ("again", True))]
        await asyncio.sleep(0)
        limit.release(refused=True)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == ["again", "new"]


def test_waits_grow_and_are_never_shorter_than_the_server_asks():
    waits = [wait_before(tries, 0.1) for tries in (1, 2, 3)]
    assert all(0 <= wait <= 0.1 * 2**n for n, wait in enumerate(waits))
    assert 7.0 <= wait_before(1, 0.1, asked_for=7.0) <= 9.0


@pytest.mark.parametrize("text", ["soon", "", "-1", "nan", "inf", None])
def test_what_is_no_time_to_wait_is_none(text):
    assert retry_after(None, text) is None


def test_a_date_to_wait_for_is_read():
    assert retry_after(None, "Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after(None, "Wed, 21 Oct 2099 07:28:00 GMT") > 1e9


def test_closing_what_comes_from_a_thread_ends_its_work():
    ended = []

    async def work(put):
        try:
            put(1)
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    arriving = from_thread(work)
    assert next(arriving) == 1
    arriving.close()
    assert ended == [True]


def test_an_error_in_a_thread_is_raised_where_its_values_are_taken():
    async def work(put):
        put(1)
        raise LookupError("gone")

    arriving = from_thread(work)
    assert next(arriving) == 1
    with pytest.raises(LookupError, match="gone"):
        next(arriving)
