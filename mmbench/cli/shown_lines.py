"""How `mmbench show` writes what it shows: a title, and rows of a key and its values."""

from __future__ import annotations

from typing import Any

from mmbench.reports.escape import one_line


def lines(title: str, about: str, rows: dict[str, Any]) -> str:
    """Title and rows; a list's values stand below each other."""
    given = {one_line(k): value for k, value in rows.items() if value not in (None, "", {}, [])}
    width = max(map(len, given), default=0)
    head = one_line(f"{title}: {about.strip()}" if about else title)
    indent = "\n" + " " * (width + 4)
    lines = [head]
    for key, value in given.items():
        values = value if isinstance(value, list) else [value]
        lines.append(f"  {key:<{width}}  {indent.join(map(one_line, values))}")
    return "\n".join(lines)


def plain(value: Any) -> Any:
    """Settings as a person writes them: `image: conv, text: gru`."""
    if isinstance(value, dict) and set(value) == {"name", "options"}:
        options = ", ".join(f"{k}={v}" for k, v in value["options"].items())
        return value["name"] + (f"({options})" if options else "")
    if isinstance(value, dict):
        return ", ".join(f"{k}: {plain(v)}" for k, v in value.items())
    return value
