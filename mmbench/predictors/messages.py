"""A query as a message of OpenAI's protocol."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from mmbench.data.media import MediaRef, media_of
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.prompts import Prompt
from mmbench.responses import media_digest
from mmbench.zoo.words import IMAGE_PLACE


def message(prompt: Prompt, query: Query) -> dict[str, Any]:
    """What a server is sent: images as PNG files of their pixels, in base64, then the words.

    Raises: MMBenchError for a query about something else than images.
    """
    return _message(prompt, query, _png_url)


def known_message(prompt: Prompt, query: Query) -> dict[str, Any]:
    """The same with a hash of the pixels in place of an image: what its answer is known by."""
    return _message(prompt, query, media_digest)


def images_of(query: Query) -> list[MediaRef]:
    """The images that a query is about, in order.

    Raises: MMBenchError for a query about something else.
    """
    images: list[MediaRef] = []
    for modality, value in query.inputs.items():
        if modality != "image" and media_of(value):
            raise MMBenchError(
                f"models from elsewhere are asked about images, and {query.id} has a {modality}: "
                "score such a model's answers from a file (`mmbench score --help`)"
            )
        images += media_of(value)
    return images


def interleaved(text: str, shown: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A message's parts: each image where the text has a place for it, or all before the text.

    >>> interleaved("□ is a dax. □ is a?", [{"image": 1}, {"image": 2}])[2]
    {'image': 2}
    """
    told = text.split(IMAGE_PLACE)
    if len(told) != len(shown) + 1:
        return [*shown, {"type": "text", "text": text}]
    parts: list[dict[str, Any]] = []
    for number, words in enumerate(told):
        parts += [{"type": "text", "text": words.strip()}] if words.strip() else []
        parts += shown[number : number + 1]
    return parts


def _message(prompt: Prompt, query: Query, url: Any) -> dict[str, Any]:
    words = prompt.asks(query.inputs)
    shown = [{"type": "image_url", "image_url": {"url": url(image)}} for image in images_of(query)]
    return {"role": "user", "content": interleaved(words, shown) if shown else words}


@lru_cache(maxsize=256)  # what is asked about one image mostly comes together
def _png_url(medium: MediaRef) -> str:
    file = io.BytesIO()
    medium.pil().save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
