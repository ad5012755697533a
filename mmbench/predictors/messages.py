"""A query as a message of OpenAI's protocol."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from typing import Any

from mmbench.data.media import MediaRef
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.prompts import Prompt
from mmbench.responses import media_digest


def message(prompt: Prompt, query: Query) -> dict[str, Any]:
    """What a server is sent: images as PNG files of their pixels, in base64, then the words.

    Raises: MMBenchError for a query about something else than images.
    """
    return _message(prompt, query, _png_url)


def known_message(prompt: Prompt, query: Query) -> dict[str, Any]:
    """The same with a hash of the pixels in place of an image: what its answer is known by."""
    return _message(prompt, query, media_digest)


def not_asked_about(query: Query, modality: str) -> MMBenchError:
    """The error of a query about something else than images."""
    return MMBenchError(
        f"models from elsewhere are asked about images, and {query.id} has a {modality}: score "
        "such a model's answers from a file (`mmbench score --help`)"
    )


def _message(prompt: Prompt, query: Query, url: Any) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for name, value in query.inputs.items():
        if not isinstance(value, MediaRef):
            continue
        if name != "image":
            raise not_asked_about(query, name)
        parts.append({"type": "image_url", "image_url": {"url": url(value)}})
    words = prompt.asks(query.inputs)
    content = [*parts, {"type": "text", "text": words}] if parts else words
    return {"role": "user", "content": content}


@lru_cache(maxsize=256)  # what is asked about one image mostly comes together
def _png_url(medium: MediaRef) -> str:
    file = io.BytesIO()
    medium.pil().save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
