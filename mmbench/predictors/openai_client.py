"""One request to a server by OpenAI's client, and what its failure means."""

from __future__ import annotations

import asyncio
import json
import os
import time
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from mmbench.errors import MMBenchError, did_you_mean, in_one_line
from mmbench.predictors.asking import Refused
from mmbench.predictors.limits import retry_after
from mmbench.responses import Response

_NO_KEY = "none"  # what servers of one's own are sent, which ask for none
_AGAIN = (408, 409, 425, 429)  # and all from 500
_CROWDED = (429, 503)
_TOLD = 120  # characters of what a server says of an error
_HIDDEN = "***"
_LENGTH = "max_completion_tokens"  # what newer models of OpenAI call the length of an answer


class OpenAIClient:
    """Asks a model for completions of chats. Use it in an `async with`.

    Args:
        model: what the server calls it.
        base_url: the server's; None for that of the environment.
        settings: `max_new_tokens`, `temperature`, and as `extra` what is sent as it is.
        timeout: seconds that a request may take.
    Raises: MMBenchError if the client is not installed.
    """

    def __init__(
        self, model: str, base_url: str | None, settings: dict[str, Any], timeout: float
    ) -> None:
        if find_spec("openai") is None:
            raise MMBenchError("openai: needs the client, `pip install 'mmbench[openai]'`")
        self._model, self._timeout = model, timeout
        self._key = os.environ.get("OPENAI_API_KEY") or _NO_KEY
        self._base_url = base_url
        self._length = "max_tokens"  # what most servers call it
        self._longest = settings["max_new_tokens"]
        self._sent = {**settings.get("extra", {})}
        if settings["temperature"] is not None:
            self._sent["temperature"] = settings["temperature"]
        self._openai: Any = None
        self._client: Any = None

    @property
    def server(self) -> str:
        """Its address, less what is secret in it."""
        url = self._base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))

    async def __aenter__(self) -> OpenAIClient:
        import openai  # takes a second

        self._openai = openai
        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._base_url,
            timeout=self._timeout,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(),  # takes half of the time
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ask(self, messages: list[dict[str, Any]]) -> Response:
        """The model's answer to messages.

        Raises: Refused if there is none; MMBenchError if there would be none to any other.
        """
        openai = self._openai
        began = time.perf_counter()
        length = self._length
        try:
            answer = await asyncio.wait_for(self._post(messages, length), self._timeout)
        except openai.APIStatusError as error:
            if error.status_code == 400 and length != _LENGTH and _LENGTH in str(error):
                self._length = _LENGTH
                return await self.ask(messages)
            raise await self._refused(error) from None
        except (asyncio.TimeoutError, openai.APIConnectionError) as error:
            raise self._unanswered(error) from None
        return self._response(answer, time.perf_counter() - began)

    async def _post(self, messages: list[dict[str, Any]], length: str) -> str:
        """The body of an answer. Not by `chat.completions`, which takes twice as long to prepare a
        request, and reads answers before what is wrong with them can be said."""
        body = {"model": self._model, "messages": messages, length: self._longest, **self._sent}
        answer: str = await self._client.post("/chat/completions", cast_to=str, body=body)
        return answer

    def _unanswered(self, error: Exception) -> Refused:
        """What it means that nothing came back."""
        cause = error.__cause__ or error
        if type(cause).__name__ in ("ConnectError", "ConnectTimeout"):
            return Refused(
                f"no server answers at {self.server} ({in_one_line(cause)}): start it, or name "
                "another --base-url",
                again=True,
                absent=True,
            )
        if isinstance(error, asyncio.TimeoutError | self._openai.APITimeoutError):
            return Refused(f"no answer within {self._timeout:g} s", again=True, crowded=True)
        return Refused("the connection broke off", again=True)

    async def _refused(self, error: Any) -> Exception:
        """What a status other than 200 means."""
        status, headers = error.status_code, error.response.headers
        said = self._said(error)
        if status in (401, 403):
            return MMBenchError(
                f"the server {self.server} refuses the key ({status}): set OPENAI_API_KEY in the "
                "environment to one that may ask it"
            )
        if status == 404:
            return MMBenchError(
                f"the server {self.server} knows no model '{self._model}' or no chat completions "
                f"(404{said}).{await self._known_models()}"
            )
        if "insufficient_quota" in str(getattr(error, "code", "")):
            return MMBenchError(f"the server {self.server} answers no more: the quota is spent")
        wait = retry_after(headers.get("retry-after-ms"), headers.get("retry-after"))
        again = status in _AGAIN or status >= 500
        return Refused(
            f"HTTP {status}{'' if again else said}",
            again=again,
            crowded=status in _CROWDED,
            wait=wait if again else None,
        )

    def _said(self, error: Any) -> str:
        """What a server says of an error, less the key, should that be in it."""
        body = getattr(error, "body", None)
        text = body.get("message") if isinstance(body, dict) else None
        if not isinstance(text, str) or not text.strip():
            return ""
        plain = " ".join(text.split())
        if self._key != _NO_KEY:
            plain = plain.replace(self._key, _HIDDEN)
        return f": {plain[:_TOLD]}"

    async def _known_models(self) -> str:
        """Which models the server has, in words; "" if it does not say."""
        try:
            listed = await self._client.models.with_raw_response.list()
            names = [str(each["id"]) for each in json.loads(listed.http_response.content)["data"]]
        except (self._openai.OpenAIError, ValueError, LookupError, TypeError):
            return ""
        shown = ", ".join(names[:8])
        return f"{did_you_mean(self._model, names)} It has {shown}." if names else ""

    def _response(self, content: str, seconds: float) -> Response:
        """The response in the body of an answer.

        Raises: Refused if it holds none.
        """
        if content.lstrip()[:1] == "<":
            raise Refused("a page of HTML in place of an answer")
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            raise Refused("an answer that is cut off or no JSON", again=True) from None
        try:
            [choice, *_] = value["choices"]
            told = choice["message"]
            written = told.get("content")
            if isinstance(written, list):  # of parts, as some servers give it
                written = "".join(str(part.get("text", "")) for part in written)
        except (LookupError, TypeError, ValueError, AttributeError):
            raise Refused("an answer without a message") from None
        if written is None and choice.get("finish_reason") == "content_filter":
            raise Refused("held back by the server's filter of contents")
        if not isinstance(written, str):
            raise Refused("an answer without a text")
        usage = value.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        named = value.get("model")
        return Response(
            written=written,
            tokens_in=_count(usage.get("prompt_tokens")),
            tokens_out=_count(usage.get("completion_tokens")),
            seconds=seconds,
            model=named if isinstance(named, str) else None,
        )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
