"""Makes the documentation a site, in build/site, and checks it.

    pip install -e ".[docs]"
    python docs/make_site.py [FOLDER]

Every warning is an error; so is a link or an anchor that leads nowhere, and a page that would fetch
anything from elsewhere.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

DOCS = Path(__file__).resolve().parent
HOME = "docs/README.html"
_FROM_ELSEWHERE = re.compile(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""")
_FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """A page's anchors, and what it refers to.

    Attributes:
        anchors: ids that an address may end in.
        links: where it leads, or what it loads, as written.
        fetched: those of them that a browser would load by itself.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if "href" in given and tag != "link":
            self.links.append(given["href"])
        if loaded := given.get(_FETCHED.get(tag, "")):
            self.links.append(loaded)
            self.fetched.append(loaded)


def problems(site: Path) -> list[str]:
    """What is wrong with the pages of a site, a line each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name} fetches {link}" for link in page.fetched if _is_elsewhere(link)]
        for link in dict.fromkeys(page.links):
            if why := _broken(path, link, pages):
                found.append(f"{name}: {link} {why}")
    for path in sorted(site.rglob("*.css")):
        if _FROM_ELSEWHERE.search(path.read_text(encoding="utf-8")):
            found.append(f"{path.relative_to(site)} fetches something from elsewhere")
    return found


def _is_elsewhere(link: str) -> bool:
    return link.startswith("//") or urlsplit(link).scheme in ("http", "https")


def _broken(path: Path, link: str, pages: dict[Path, Page]) -> str:
    """Why a link of a page leads nowhere; empty if it does not."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:  # elsewhere, or data that the page holds
        return ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "is not there"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return "has no such anchor"
    return ""


def make(site: Path) -> int:
    """Make the site and check it; 0 if all is well."""
    from sphinx.cmd.build import main

    options = ["-q", "-W", "--keep-going", "-c", str(DOCS)]
    if status := main([*options, str(DOCS.parent), str(site)]):
        return status
    (site / "index.html").write_text(
        f'<!doctype html><meta charset="utf-8"><title>mmbench</title>'
        f'<meta http-equiv="refresh" content="0; url={HOME}"><a href="{HOME}">mmbench</a>\n',
        encoding="utf-8",
    )
    wrong = problems(site)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{site}: {len(list(site.rglob('*.html')))} pages, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else DOCS.parent / "build" / "site"
    sys.exit(make(Path(folder).resolve()))
