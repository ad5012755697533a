"""What a reader calls things: `gated_fusion` is Gated, `text_to_image_recall_at_1` is R@1.

Metrics, tasks, datasets and recipes may say so themselves (`title`), so that a stranger's can too:
what is installed is asked, and of files records keep it. Of what says nothing the name is tidied. A
title is data like any name: formats escape it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.metrics.called import metric_called
from mmbench.records.record import Record

_PLAIN = re.compile(r"[A-Za-z0-9]+([_ ./-][A-Za-z0-9]+)*")


def tidied(name: str) -> str:
    """A name as words; what is no plain name is left as it is.

    >>> tidied("unique_image"), tidied("yes/no"), tidied("<b>_x")
    ('Unique image', 'Yes/no', '<b>_x')
    """
    if not _PLAIN.fullmatch(name):
        return name
    words = name.replace("_", " ")
    return words[0].upper() + words[1:]


def in_sentence(title: str) -> str:
    """A title within a sentence: a word without other capitals begins with a small letter.

    >>> in_sentence("Accuracy"), in_sentence("CIDEr"), in_sentence("Text-to-image R@1")
    ('accuracy', 'CIDEr', 'text-to-image R@1')
    """
    rest = title.partition(" ")[0][1:].replace("-", "")
    return title[0].lower() + title[1:] if rest.isalpha() and rest.islower() else title


@cache
def metric_title(name: str) -> tuple[str, str]:
    """What a metric is called, and what stands above it and its like ("" for nothing).

    >>> metric_title("text_to_image_recall_at_5"), metric_title("bleu_4"), metric_title("my_score")
    (('R@5', 'Text-to-image'), ('BLEU-4', ''), ('My score', ''))
    """
    if registry.has("metrics", name):
        try:
            metric = metric_called(name)
        except MMBenchError:  # such as weights that are not here: its name will do
            return tidied(name), ""
        return metric.title or tidied(name), metric.heading
    return tidied(name), ""


def full_metric_title(name: str) -> str:
    """What a metric is called where nothing stands above it.

    >>> full_metric_title("text_to_image_recall_at_5"), full_metric_title("accuracy")
    ('Text-to-image R@5', 'Accuracy')
    """
    title, heading = metric_title(name)
    return f"{heading} {title}".strip()


_Titles = Mapping[tuple[str, str], str]
_RECORDED: ContextVar[_Titles] = ContextVar("titles", default=MappingProxyType({}))


@contextmanager
def titles_of(records: Iterable[Record]) -> Iterator[None]:
    """Within, models and datasets are called as these records say, where they say so."""
    found: dict[tuple[str, str], str] = {}
    for record in records:
        for kind, title in record.titles.items():
            found.setdefault((kind, getattr(record, kind)), title)
    token = _RECORDED.set(found)
    try:
        yield
    finally:
        _RECORDED.reset(token)


@cache
def _installed_title(kind: str, name: str) -> str:
    return registry.line_of(kind, name, "title") if registry.has(kind, name) else ""


def model_title(name: str) -> str:
    """What a recipe is called.

    >>> model_title("gated_fusion"), model_title("mcan_fusion_pretrained")
    ('Gated', 'MCAN (pretrained)')
    """
    if own := _RECORDED.get().get(("model", name)) or _installed_title("recipes", name):
        return own
    rest, pretrained = name.removesuffix("_pretrained"), name.endswith("_pretrained")
    rest = rest.removesuffix("_fusion") or rest
    return tidied(rest) + (" (pretrained)" if pretrained else "")


def dataset_title(name: str) -> str:
    """What a dataset is called.

    >>> dataset_title("easy_vqa"), dataset_title("my_data")
    ('easy-VQA', 'My data')
    """
    own = _RECORDED.get().get(("dataset", name)) or _installed_title("datasets", name)
    return own or tidied(name)


@cache
def task_title(name: str) -> str:
    """What a task is called.

    >>> task_title("vqa")
    'Visual question answering'
    """
    own = registry.load("tasks", name).title if registry.has("tasks", name) else ""
    return own or tidied(name)


def told_apart(names: Iterable[str], title: Callable[[str], str]) -> Mapping[str, str]:
    """By name, its title; the names themselves of those that have one title.

    >>> told_apart(["a_fusion", "a", "b"], model_title)
    {'a_fusion': 'a_fusion', 'a': 'a', 'b': 'B'}
    """
    titles = {name: title(name) for name in names}
    given = list(titles.values())
    return {name: name if given.count(text) > 1 else text for name, text in titles.items()}
