"""How a model from elsewhere is asked, and how its answer is read off what it writes.

Both belong to the dataset (`prompt` in its YAML file), since they are part of what is measured; the
task has them for datasets that say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, field_validator

from mmbench.errors import did_you_mean
from mmbench.yaml_file import Settings

READINGS = ("text", "line", "answer", "choice")
PATTERN = "pattern "  # begins a reading by a regular expression
_PLACE = re.compile(r"\{(\w+)\}")
_PLACES = ("text", "choices", "medium")
_QUOTES = "\"'`“”‘’*"
_LETTER = re.compile(r"\W*(?:answer\W+(?:is\W+)?)?([a-z])\s*(?:[.):,]|$)", re.IGNORECASE)


class Prompt(Settings):
    """How a model from elsewhere is asked.

    Attributes:
        text: with `{text}` for the query's own, `{choices}` for its choices, a line each with a
            letter, and `{medium}` for what it is about ("image").
        reads: how the answer is read off: `text`, all that was written; `line`, the first line;
            `answer`, the first line in lower case without quotes and full stop; `choice`, the
            sample's choice whose letter or words are given; or `pattern REGEX`, what the first
            group of the last match holds. What cannot be read so is taken as it was written.
    """

    text: str
    reads: str = "text"

    @field_validator("text")
    @classmethod
    def _known_places(cls, text: str) -> str:
        for place in _PLACE.findall(text):
            if place not in _PLACES:
                raise ValueError(
                    f"has no place {{{place}}}.{did_you_mean(place, _PLACES)} It knows "
                    + ", ".join(f"{{{known}}}" for known in _PLACES)
                )
        return text

    @field_validator("reads")
    @classmethod
    def _known_reading(cls, reads: str) -> str:
        if reads in READINGS:
            return reads
        if not reads.startswith(PATTERN):
            raise ValueError(
                f"must be {', '.join(READINGS)} or `{PATTERN}REGEX`, got '{reads}'."
                + did_you_mean(reads, READINGS)
            )
        try:
            groups = re.compile(reads.removeprefix(PATTERN)).groups
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        if not groups:
            raise ValueError("needs a group in brackets: what it holds is the answer")
        return reads

    def asks(self, inputs: Mapping[str, Any]) -> str:
        """The words of a query.

        >>> Prompt(text="{text} Answer briefly.").asks({"text": "What is it?"})
        'What is it? Answer briefly.'
        """
        lines = [f"{letter}. {choice}" for letter, choice in _lettered(inputs.get("choices", ()))]
        places = {
            "text": str(inputs.get("text", "")),
            "choices": "\n".join(lines),
            "medium": next((name for name in inputs if name not in ("text", "choices")), "medium"),
        }
        return _PLACE.sub(lambda found: places[found[1]], self.text).strip()

    def read(self, written: str, inputs: Mapping[str, Any]) -> str:
        """The answer to a query, read off what was written.

        >>> Prompt(text="{text}", reads="answer").read('"Yes."', {})
        'yes'
        """
        whole = written.strip()
        if self.reads == "text":
            return whole
        if self.reads == "choice":
            return _choice(whole, inputs.get("choices", ())) or whole
        if self.reads.startswith(PATTERN):
            found = list(re.finditer(self.reads.removeprefix(PATTERN), whole))
            return (found[-1][1] or "").strip() if found else whole
        line = whole.partition("\n")[0].strip()
        return _plain(line) if self.reads == "answer" else line


def _read_prompt(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


PromptField = Annotated[Prompt, BeforeValidator(_read_prompt)]


def _plain(line: str) -> str:
    return line.strip(_QUOTES + " ").removesuffix(".").strip(_QUOTES + " ").lower()


def _lettered(choices: Sequence[str]) -> list[tuple[str, str]]:
    return [(chr(ord("A") + number), choice) for number, choice in enumerate(choices)]


def _choice(written: str, choices: Sequence[str]) -> str | None:
    """The choice that is named by its words or its letter; None if there is no telling."""
    named = [choice for choice in choices if _plain(written) == _plain(choice)]
    if named:
        return named[0]
    letters = dict(_lettered(choices))
    letter = _LETTER.match(written)
    if letter is not None and letter[1].upper() in letters:
        return letters[letter[1].upper()]
    held = [choice for choice in choices if _plain(choice) in written.lower()]
    return held[0] if len(held) == 1 else None
