"""How Sphinx makes the documentation a site; `python docs/make_site.py` calls it.

The source is the repository's root, so that a link between two files is the same in a repository's
viewer and on the site. What is not a page, such as a table of scores, becomes a download.
"""

import re
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel
from sphinx.application import Sphinx

import mmbench

project = "mmbench"
copyright = "the authors of mmbench, Apache-2.0"
version = release = mmbench.__version__

root_doc = "docs/README"
include_patterns = [
    "docs/**",
    "results/README.md",
    "results/study/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = [
    ".*",
    "*.egg-info",
    "build",
    "dist",
    "baselines",
    "benchmarks",
    "mmbench",
    "tasks",
    "tests",
    "results/reference",
    "**/*_source.md",  # what other pages are made of
]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # tests/test_notebooks.py runs them; the outputs shown are their files'
nb_merge_streams = True
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
smartquotes = False  # an option's two dashes are two dashes
default_role = "code"  # docstrings say `name`
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"mmbench {release}"
html_copy_source = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_ENTRY = re.compile(r"^- \[([^]]+)\]\(([^)]+)\)", re.MULTILINE)
_FILE = re.compile(r"^```(\w+) (\S+\.\w+)\n", re.MULTILINE)
_HEAD = re.compile(r"^(Returns|Raises|Shape|Source|Yields): ")


def _add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """The lists of the first page are the navigation: its sections, its entries, their words."""
    if page != root_doc:
        return
    _, *parts = _SECTION.split(source[0])
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        entries = [f"{words} <{target}>" for words, target in _ENTRY.findall(text)]
        lines = ["```{toctree}", ":hidden:", f":caption: {title}", "", *entries, "```"]
        source[0] += "\n" + "\n".join(lines) + "\n"


def _name_files(app: Sphinx, page: str, source: list[str]) -> None:
    """The file that a block of code is (```python product_fusion.py) stands above it."""
    source[0] = _FILE.sub(r"```{code-block} \1\n:caption: \2\n", source[0])


def _set_apart(app: Sphinx, kind: str, name: str, of: Any, options: Any, lines: list[str]) -> None:
    """`Returns: what` in a docstring, on a line with what it says, becomes a paragraph."""
    lines[:] = [
        part
        for line in lines
        for part in (["", _HEAD.sub(r"**\1:** ", line)] if _HEAD.match(line) else [line])
    ]


def _without_fields(
    app: Sphinx, kind: str, name: str, of: Any, options: Any, signature: str, returned: str
) -> tuple[str, str] | None:
    """What is only data is said by its attributes, and is not made by calling it."""
    data = kind == "class" and (is_dataclass(of) or issubclass(of, BaseModel))
    return ("", "") if data else None


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_navigation)
    app.connect("source-read", _name_files)
    app.connect("autodoc-process-signature", _without_fields)
    app.connect("autodoc-process-docstring", _set_apart, priority=100)  # before napoleon
