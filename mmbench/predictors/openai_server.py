"""Models behind a server that speaks OpenAI's protocol: `--model openai:NAME --base-url URL`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.predictors.asking import Asking, from_thread
from mmbench.predictors.limits import Budget, Limit
from mmbench.predictors.messages import known_message, message
from mmbench.predictors.openai_client import OpenAIClient
from mmbench.prompts import Prompt
from mmbench.responses import Response, Responses, response_key
from mmbench.task import Answer, Failure, Usage
from mmbench.yaml_file import validate

Ended = tuple[str, Response | Failure, int]  # key, what came of it, requests


class OpenAIServer:
    """A model that a server answers for: vLLM, SGLang, `transformers serve`, hosted ones.

    It is asked by the official client (extra `openai`), many queries at once, and again after a
    failure that may pass. Answers are kept as they come (`mmbench.responses`). The key is that of
    the environment (OPENAI_API_KEY) and nowhere else.

    Args:
        model: what the server calls it.
        answer_kind: what the task asks for: text.
        anew: whether it is asked also what it has answered before.
        draw: which of several draws this is, at a temperature.
        base_url: of the server, with its `/v1`; None for OPENAI_BASE_URL, or else OpenAI's own.
        revision: of the model, where its name does not say; any words.
        prompt, reads: how it is asked and its answers are read (`mmbench.prompts`); the dataset's.
        max_new_tokens: the most that it writes.
        temperature: 0 takes the likeliest token each time, as far as the server keeps to it; None
            leaves it to the server.
        extra: what else is sent as it is, such as `{"top_p": 0.9}`.
        concurrency: the most requests at once.
        timeout: seconds that a request may take.
        retries: of a query, after a failure that may pass.
        retry_wait: the most seconds before the first of them; twice as many before each next one,
            unless the server says how long.
        max_requests: the most requests of a run; None for any number.
        max_cost: the most that a run may cost, by these prices:
        price_in, price_out: of a million tokens read and written.
    """

    version = 1
    answer_kinds = ("text",)
    named_by = ("model",)
    decides_nothing = (
        "anew",
        "draw",  # the run's seed, which its folder says
        "base_url",
        "concurrency",
        "timeout",
        "retries",
        "retry_wait",
        "max_requests",
        "max_cost",
        "price_in",
        "price_out",
    )
    added_with = {
        "revision": None,
        "prompt": None,
        "reads": None,
        "max_new_tokens": 32,
        "temperature": 0.0,
        "extra": None,
    }

    def __init__(
        self,
        model: str,
        answer_kind: str,
        anew: bool = False,
        draw: int = 0,
        base_url: str | None = None,
        revision: str | None = None,
        prompt: str | None = None,
        reads: str | None = None,
        max_new_tokens: int = 32,
        temperature: float | None = 0.0,
        extra: dict[str, Any] | None = None,
        concurrency: int = 64,
        timeout: float = 120.0,
        retries: int = 10,
        retry_wait: float = 0.05,
        max_requests: int | None = None,
        max_cost: float | None = None,
        price_in: float | None = None,
        price_out: float | None = None,
    ) -> None:
        for name, number, least in (
            ("max_new_tokens", max_new_tokens, 1),
            ("concurrency", concurrency, 1),
            ("timeout", timeout, 1e-3),
            ("temperature", temperature, 0),
            ("retries", retries, 0),
            ("retry_wait", retry_wait, 0),
            ("max_requests", max_requests, 1),
            ("max_cost", max_cost, 0),
            ("price_in", price_in, 0),
            ("price_out", price_out, 0),
        ):
            if number is not None and number < least:
                raise ValueError(f"{name} must be at least {least:g}, got {number}")
        if max_cost is not None and price_in is None and price_out is None:
            raise ValueError("max_cost needs price_in and price_out, of a million tokens each")
        if base_url is not None:
            check_url(base_url)
        self._model, self._revision = model, revision
        self._prompt = validate(
            Prompt, {"text": prompt or "{text}", "reads": reads or "text"}, "openai"
        )
        self._settings: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
        } | ({"extra": extra} if extra else {})
        self._anew, self._draw = anew, 0 if temperature == 0 else draw
        self._client = OpenAIClient(model, base_url, self._settings, timeout)
        self._concurrency, self._retries, self._retry_wait = concurrency, retries, retry_wait
        self._priced = price_in is not None or price_out is not None
        self._budget = Budget(
            most_requests=max_requests,
            most_cost=max_cost,
            price_in=price_in or 0.0,
            price_out=price_out or 0.0,
            longest=max_new_tokens,
        )
        self._answered_by: dict[str, None] = {}

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer | Failure]:
        """An answer or failure per query, in order, as they come; equal queries are asked once."""
        keys = [self._key(query) for query in queries]
        with Responses(self._model) as responses:
            kept = {} if self._anew else responses.get(keys)
            new = {k: q for k, q in zip(keys, queries, strict=True) if k not in kept}
            came: dict[str, tuple[Response | Failure, Usage]] = {
                key: (response, self._usage(response, kept=True)) for key, response in kept.items()
            }
            arriving: Generator[Ended, None, None] = from_thread(
                lambda put: self._ask_all(new, responses, put)
            )
            with closing(arriving) as ended:
                for key, query in zip(keys, queries, strict=True):
                    while key not in came:
                        found, outcome, requests = next(ended)
                        came[found] = outcome, self._usage(outcome, requests)
                    outcome, usage = came[key]
                    came[key] = outcome, Usage(kept=usage.kept)  # its like cost nothing more
                    if isinstance(outcome, Failure):
                        yield Failure(outcome.reason, usage=usage)
                    else:
                        value = self._prompt.read(outcome.written, query.inputs)
                        yield Answer(value, outcome.seconds, outcome.written, usage)

    def notes(self) -> list[str]:
        """Where it was asked, and what the server says has answered."""
        by = ", ".join(self._answered_by)
        return [f"asked at {self._client.server}" + (f", answered by {by}" if by else "")]

    def _usage(self, outcome: Response | Failure, requests: int = 0, kept: bool = False) -> Usage:
        if isinstance(outcome, Failure):
            return Usage(requests)
        if outcome.model:
            self._answered_by[outcome.model] = None
        price = self._budget.price(outcome.tokens_in, outcome.tokens_out) if self._priced else None
        return Usage(requests, kept, outcome.tokens_in, outcome.tokens_out, price)

    def _key(self, query: Query) -> str:
        return response_key(
            messages=[known_message(self._prompt, query)],
            settings=self._settings,
            model=self._model,
            revision=self._revision,
            draw=self._draw,
        )

    async def _ask_all(
        self, new: dict[str, Query], responses: Responses, put: Callable[[Ended], None]
    ) -> None:
        if not new:
            return

        async def ask(query: Query) -> Response:
            return await self._client.ask([message(self._prompt, query)])

        def ended(key: str, outcome: Response | Failure, requests: int) -> None:
            if isinstance(outcome, Response):
                responses.put(key, outcome)
            put((key, outcome, requests))

        asking = Asking(
            ask,
            ended,
            limit=Limit(self._concurrency),
            budget=self._budget,
            retries=self._retries,
            wait=self._retry_wait,
        )
        async with self._client:
            await asking.all(new.items(), self._concurrency)


def check_url(url: str) -> None:
    """Refuse a server's address that is none, or holds what may not stand in a record.

    Raises: MMBenchError.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise MMBenchError(
            f"--base-url must be a server's address such as http://localhost:8000/v1, got {url!r}"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise MMBenchError(
            "--base-url must hold no user, password or query, since it stands in the record: give "
            "a key in the environment, as OPENAI_API_KEY (or the whole address as OPENAI_BASE_URL)"
        )
