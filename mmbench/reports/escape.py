r"""What data becomes in each format: characters that would act there are made harmless.

Names, categories, ids, notes and reasons come from files that others wrote. Each format has one
function, called where a piece of data enters a line of it. Control characters are written as JSON
writes them (`\u001b`), so that a terminal shows them, a line stays one line, and JSON that passes
`for_terminal` still holds the same values.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TypeVar

# Controls, formatting (it can turn the direction of a line), lone surrogates, line separators.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"  # spelling needs them, as in Persian; they do nothing else


def one_line(value: object) -> str:
    r"""A piece of data as it may stand in a line of text: nothing in it breaks or steers the line.

    >>> print(one_line("red\n\x1b[2Jgreen"))
    red\n\u001b[2Jgreen
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(_written(c) if _unseen(c) else c for c in text)


def _unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN and character not in _JOINERS


def _written(character: str) -> str:
    return json.dumps(character)[1:-1]


def for_terminal(text: str, encoding: str = "utf-8") -> str:
    r"""Text of several lines: its line breaks stay, all else as in `one_line`.

    Args:
        encoding: of the terminal; characters that it lacks are written as JSON writes them.
    """
    shown = "\n".join(one_line(line) for line in text.split("\n"))
    try:
        shown.encode(encoding)
    except UnicodeEncodeError:
        shown = "".join(c if c.isascii() else _written(c) for c in shown)
    return shown


_MARKDOWN = str.maketrans(
    {c: "\\" + c for c in "\\`*[]|~#$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # an underscore within a word is plain


def for_markdown(value: object) -> str:
    r"""A piece of data as Markdown text, also in a cell of a table: no markup, no HTML.

    >>> print(for_markdown("gated_fusion|<b>"))
    gated_fusion\|&lt;b&gt;
    """
    return _EMPHASIS.sub(r"\\_", one_line(value).translate(_MARKDOWN))


def for_markdown_code(value: object) -> str:
    """A piece of data as Markdown code; as plain text where it holds what code cannot quote."""
    text = one_line(value)
    return for_markdown(text) if set(text) & set("`<>&") else f"`{text}`"


# What a spreadsheet takes for a formula; the wide forms too, which some of them read alike.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Value = TypeVar("Value")


def for_csv(value: Value) -> Value | str:
    """A cell of a CSV file: text that a spreadsheet would run gets a quote before it.

    >>> for_csv("=1+1"), for_csv("-1.5"), for_csv(-1.5)
    ("'=1+1", '-1.5', -1.5)
    """
    if not isinstance(value, str):
        return value
    runs = _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return ("'" if runs else "") + one_line(value)


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "_": r"\_",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "|": r"\textbar{}\allowbreak{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "`": r"\textasciigrave{}",
        "±": r"$\pm$",
        "↓": r"$\downarrow$",
        "Δ": r"$\Delta$",
        "–": r"\textendash{}",
    }
)


def for_latex(value: object) -> str:
    r"""A piece of data as LaTeX text, also at the start of a row, where `[` and `*` are options.

    >>> print(for_latex("50% \\input{x}"))
    50\% \textbackslash{}input\{x\}
    """
    text = one_line(value).translate(_LATEX).replace("--", "-{}-")
    return "{}" + text if text.lstrip().startswith(("[", "*")) else text
