"""The page: everything of a report that a person looks at, in one HTML file without network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments.result import RunResult
from mmbench.reports.escape import one_line
from mmbench.reports.names import full_metric_title
from mmbench.reports.page.media import ImageFile, Medium, Pool, shown
from mmbench.reports.page.packing import coded, coded_numbers, packed
from mmbench.reports.page.samples import Browsed, browse
from mmbench.reports.page.summary import Section, make_section
from mmbench.reports.table import make_tables

MOST_SAMPLES = 10_000  # of a set
ROOM = 12_000_000  # bytes of all media of a page, which base64 makes 16 MB
_MOST_OF_ONE = 4_000  # bytes that a medium takes on average, where there is room for more
_SCRIPTS = (
    "vendor/tabulator.min.js",
    "tables.js",
    "filters.js",
    "browser.js",
    "detail.js",
    "page.js",
)
_STYLES = ("vendor/tabulator_simple.min.css", "page.css")


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        html: its text, in ASCII.
        notes: what it lacks, and why: a line for each set of samples without media.
    """

    html: str
    notes: list[str]


def make_page(
    runs: Sequence[RunResult],
    *,
    allow_mixed: bool = False,
    data_dir: str | Path | None = None,
    samples: int | None = None,
    dataset: str | None = None,
) -> Page:
    """The page of these runs.

    Args:
        runs: whose records are whole.
        allow_mixed: as for tables.
        data_dir: the folder of a dataset's files, for those that do not come with mmbench.
        samples: at most so many of each set, 10,000 if None; of more, so many are drawn, always
            the same ones.
        dataset: the YAML file of a dataset that is not registered.
    Raises: MMBenchError if there is no such folder or file, or fewer than one sample is asked for.
    """
    samples = MOST_SAMPLES if samples is None else samples
    data_dir = None if data_dir is None else Path(data_dir)
    if samples < 1:
        raise MMBenchError(f"--samples must be at least 1, got {samples}")
    if data_dir is not None and not data_dir.is_dir():
        raise MMBenchError(f"there is no folder {data_dir} to read a dataset from")
    if dataset is not None:
        registry.path("datasets", dataset)
    sections = [make_section(table) for table in make_tables(runs, allow_mixed)]
    asked = [g.samples for section in sections for g in section.groups if g.samples]
    sets = [browse(each, data_dir, samples, dataset) for each in asked]
    notes = [f"{of.key}: {of.note}" for of in sets if of.note]
    return Page(page_text(sections, sets), notes)


def page_text(sections: Sequence[Section], sets: Sequence[Browsed]) -> str:
    """The page's HTML, in which all media together take no more room than they may."""
    count = 0
    for of in sets:
        count += len(_distinct([ref for refs in of.media.values() for ref in refs]))
        count += sum(isinstance(a, bytes) for given in of.answers.values() for a in given)
    room = min(ROOM / max(count, 1), _MOST_OF_ONE)
    return _render(sections, [_packed(of, room) for of in sets])


@dataclass(frozen=True)
class _Packed:
    """A set of samples as the page's text has it."""

    key: str
    data: str
    media: str


def _packed(of: Browsed, room: float) -> _Packed:
    pool = Pool()
    media = _media(of, pool, room)
    models = list(dict.fromkeys(model for model, _ in of.answers))
    runs = []
    for (model, seed), given in of.answers.items():
        runs.append(
            {
                "model": models.index(model),
                "seed": seed,
                "answers": _answers(given, pool, room),
                "scores": [
                    coded_numbers(score.values[model, seed].tolist())
                    if (model, seed) in score.values
                    else None
                    for score in of.scores
                ],
            }
        )
    data = {
        "key": of.key,
        "total": of.total,
        "note": of.note,
        "ids": of.ids,
        "categories": coded(of.categories) if of.categories else None,
        "columns": [
            {"name": one_line(of.shown_as.get(name, name)), **coded(lines)}
            for name, lines in of.columns.items()
        ],
        "media": media,
        "models": [one_line(model) for model in models],
        "answer_shown": of.shown_as.get("answer", "answer"),
        "metrics": [
            {
                "name": one_line(score.name),
                "title": one_line(full_metric_title(score.name)),
                "scale": score.scale,
                "higher": score.higher_is_better,
                "binary": score.binary,
            }
            for score in of.scores
        ],
        "runs": runs,
    }
    return _Packed(of.key, packed(data), pool.text())


def _distinct(media: Sequence[Any]) -> dict[tuple[str, int], Medium]:
    return {(m.set_digest, m.row): m for m in media if m is not None}


def _media(of: Browsed, pool: Pool, room: float) -> list[dict[str, Any]]:
    """The columns of media; each distinct medium is in the pool once, whatever columns name it."""
    placed: dict[tuple[str, int], tuple[int, int | None]] = {}
    for modality in dict.fromkeys(of.modalities[name] for name in of.media):
        names = [name for name in of.media if of.modalities[name] == modality]
        distinct = _distinct([ref for name in names for ref in of.media[name]])
        made = shown(list(distinct.values()), modality, of.rates[names[0]], room)
        for key, each in zip(distinct, made, strict=True):
            sound = None if each.sound is None else pool.add("s", each.sound)
            placed[key] = pool.add("p", each.picture), sound
    columns = []
    for name, refs in of.media.items():
        keys = list(_distinct(refs))
        places = {key: place for place, key in enumerate(keys)}
        sounds = [placed[key][1] for key in keys]
        columns.append(
            {
                "name": one_line(of.shown_as.get(name, name)),
                "kind": of.modalities[name],
                "codes": [-1 if m is None else places[m.set_digest, m.row] for m in refs],
                "pictures": [placed[key][0] for key in keys],
                "sounds": None if None in sounds else sounds,
            }
        )
    return columns


def _answers(given: Sequence[Any], pool: Pool, room: float) -> dict[str, Any]:
    """A column of answers: texts, or places of images in the pool."""
    if not all(isinstance(answer, bytes) for answer in given):
        texts = [a if isinstance(a, str) else f"{len(a):,} bytes" for a in given]
        return {"pictures": False, **coded(texts)}
    distinct = list(dict.fromkeys(given))
    try:
        made = shown([ImageFile(content) for content in distinct], "image", 0, room)
    except OSError:  # of bytes that are no image, a reader sees how many there are
        return {"pictures": False, **coded(f"{len(a):,} bytes" for a in given)}
    places = {c: pool.add("p", m.picture) for c, m in zip(distinct, made, strict=True)}
    return {"pictures": True, **coded(places[content] for content in given)}


def _render(sections: Sequence[Section], sets: Sequence[_Packed]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    here = files("mmbench.reports.page")
    scripts = [here.joinpath(name).read_text("ascii") for name in _SCRIPTS]
    styles = [here.joinpath(name).read_text("ascii") for name in _STYLES]
    environment = Environment(
        loader=PackageLoader("mmbench.reports.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups = [(number, g) for number, section in enumerate(sections) for g in section.groups]
    section_of = {group.samples.key: number for number, group in groups if group.samples}
    html = environment.get_template("page.html.jinja").render(
        version=version("mmbench"),
        sections=sections,
        sets=sets,
        section_of=section_of,
        scripts=[Markup(script) for script in scripts],
        styles=[Markup(style) for style in styles],
        policy=_policy(scripts),
        svg=Markup,
    )
    return html.encode("ascii", "xmlcharrefreplace").decode()


def _policy(scripts: Sequence[str]) -> str:
    """What the page may do: run its own scripts, and load nothing but what it holds."""
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{found}'" for found in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )
