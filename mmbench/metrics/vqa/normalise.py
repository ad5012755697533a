"""The answer processing of the official VQA evaluation.

Source: Antol et al., VQA: Visual Question Answering, 2015 (arXiv 1505.00468), and the evaluation
code at github.com/GT-Vision-Lab/VQA, whose results are reproduced with their quirks:

- a punctuation mark becomes a space ('black/white' is two words), unless it touches a space
  somewhere in the text or the text has a comma between digits: then each one of it disappears
  ('1,000-2' is '10002');
- a full stop disappears unless a digit follows, and at most 32 of them do;
- 'none' is 0; articles go wherever they stand, so the letter 'A' is nothing; 'it's' and 'I'm' are
  not among the contractions whose apostrophe is put back, and "somebody'd" loses its own.
"""

from __future__ import annotations

import re
from functools import lru_cache

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = "zero one two three four five six seven eight nine ten"
DIGITS = {word: str(n) for n, word in enumerate(_NUMBERS.split())} | {"none": "0"}

_FORMS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've
might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't
would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
# Each form with one of its apostrophes missing.
CONTRACTIONS = {
    form[:i] + form[i + 1 :]: form
    for form in _FORMS.split()
    for i, char in enumerate(form)
    if char == "'"
} | {"somebody'd": "somebodyd"}

_STOP = re.compile(r"\.(?!\d)")
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_MOST_STOPS = 32  # the official code hands re.UNICODE, which is 32, to sub() as its count
_CACHED = 1 << 17  # distinct answers: a set of VQA answers repeats few of them often


def strip_answer(text: str) -> str:
    """The answer without surrounding space; line ends and tabs within it are spaces."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def process_punctuation(text: str) -> str:
    """The answer without punctuation (see above).

    >>> process_punctuation("black/white")
    'black white'
    >>> process_punctuation("1,000 ft.")
    '1000 ft'
    """
    in_number = _COMMA_IN_NUMBER.search(text) is not None
    out = text
    for mark in PUNCTUATION:
        if mark in text:
            joined = in_number or f"{mark} " in text or f" {mark}" in text
            out = out.replace(mark, "" if joined else " ")
    return _STOP.sub("", out, count=_MOST_STOPS)


def process_digits_and_articles(text: str) -> str:
    """The answer in lower case, small numbers as digits, without articles, apostrophes put back.

    >>> process_digits_and_articles("The two dogs dont")
    "2 dogs don't"
    """
    words = (DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


@lru_cache(_CACHED)
def normalise(text: str) -> str:
    """An answer as the official evaluation compares it where the annotators differ.

    >>> normalise(" A man, on the Left! ")
    'man on left'
    """
    return process_digits_and_articles(process_punctuation(strip_answer(text)))
