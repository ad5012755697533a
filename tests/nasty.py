"""One hostile text for all that prints or writes names, and what no output may do with it."""

from __future__ import annotations

import unicodedata

# Escape codes (7 and 8 bit), a title, a bell, carriage return, line breaks of every kind, a turn of
# direction; markup of Markdown, HTML, LaTeX and spreadsheets. May be a file's name, so without `/`.
NASTY = (
    "=1+1\x1b[2J\x1b]0;owned\x07\x9b31m\rred\nforged\n\n| forged |\u2028forged\u2029forged"
    "\x85forged\x0bforged\u202e<script>alert(1)&lt;|x\\|`**_[a](b)_$%^~#{}\\input{x}é"
)


def assert_harmless(text: str) -> None:
    """Nothing in the text steers a terminal, and no line of it was forged."""
    unseen = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert set(unseen) <= {"\n"}
    assert [line for line in text.splitlines() if line.lstrip(" |").startswith("forged")] == []
