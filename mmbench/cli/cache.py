"""What `mmbench cache` prints: what is kept, how large it is, what is removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmbench.data.cache import cache_folder
from mmbench.data.cache_contents import Entry, chosen, entries, prune
from mmbench.reports.escape import one_line

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def list_text(kinds: Sequence[str] | None = None) -> str:
    """A line an entry: kind, size, days since it was last used, where it is in the cache."""
    rows = [("kind", "size", "days", "file")]
    for entry in chosen(entries(), kinds):
        where = one_line(str(entry.path.relative_to(cache_folder())))
        rows.append((one_line(entry.kind), size_words(entry.size), f"{entry.days:.0f}", where))
    return _table(rows) if len(rows) > 1 else f"nothing is kept in {one_line(str(cache_folder()))}"


def size_text() -> str:
    """Where the cache is, and a line a kind, the largest first."""
    by_kind: dict[str, list[Entry]] = {}
    for entry in entries():
        by_kind.setdefault(entry.kind, []).append(entry)
    sizes = {kind: sum(entry.size for entry in found) for kind, found in by_kind.items()}
    rows = [("kind", "size", "entries", "")]
    for kind in sorted(sizes, key=lambda kind: -sizes[kind]):
        rows.append((one_line(kind), size_words(sizes[kind]), f"{len(by_kind[kind]):,}", ""))
    head = f"{one_line(str(cache_folder()))}: {size_words(sum(sizes.values()))}"
    return f"{head}\n{_table(rows)}" if sizes else head


def prune_text(kinds: Sequence[str] | None, older_than: float, dry_run: bool) -> str:
    """Remove entries of some kinds that were not used for so many days, and say how much it was.

    Raises: MMBenchError for a kind that is not there, or for what cannot be removed.
    """
    found = chosen(entries(), kinds, older_than)
    if not dry_run:
        prune(found)
    what = "would be removed" if dry_run else "removed"
    total = size_words(sum(entry.size for entry in found))
    return f"{what}: {len(found):,} entries, {total}"


def size_words(size: int) -> str:
    """Bytes as a person reads them.

    >>> size_words(12_345_678), size_words(12)
    ('12.3 MB', '12 B')
    """
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for cells in zip(*columns, strict=True):
        first, *numbers, last = (
            cell.ljust(width) if place in (0, len(widths) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        lines.append("  ".join([first, *numbers, last]).rstrip())
    return "\n".join(lines)
