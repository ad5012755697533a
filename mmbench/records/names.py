"""Names that become folders."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_LONGEST = 120  # bytes; file systems take 255, encrypted ones 143
_MARK = "~"  # before the hash of a name that was changed; no name keeps one of its own
_FORBIDDEN = frozenset('/\\<>:"|?*' + _MARK)
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.I)


def safe_name(name: str) -> str:
    """The name of a folder for any text: one part of a path, on every system, and not hidden.

    A name that must be changed ends in a hash of the original, so that two names never share a
    folder, also where a file system does not tell upper case from lower or one spelling of an
    accent from another.

    >>> safe_name("gated_fusion"), safe_name("..")
    ('gated_fusion', '__~5ec1f7e7')
    """
    safe = "".join("_" if _forbidden(c) else c for c in name)
    safe = re.sub(r"^[. ]+|[. ]+$", lambda found: "_" * len(found.group()), safe) or "_"
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    if safe == name == _folded(name) and len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return safe.encode()[:_LONGEST].decode(errors="ignore") + _MARK + digest


def _forbidden(character: str) -> bool:
    return character in _FORBIDDEN or unicodedata.category(character) in _UNSEEN


def _folded(name: str) -> str:
    """What file systems that fold case and accents take a name for."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
