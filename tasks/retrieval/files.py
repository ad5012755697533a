"""Retrieval scores made elsewhere: where the right items of each query stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmbench.data.embedding_files import RetrievalFile, read_caption_images, read_retrieval_scores
from mmbench.data.prediction_files import TABLES, PredictionFile, file_hash
from mmbench.data.right_items import read_positives
from mmbench.data.sample import Sample, SampleSet
from mmbench.data.text_files import read_json
from mmbench.errors import MMBenchError
from mmbench.metrics.positives import first_five, matching_positives, positives_by_id
from mmbench.metrics.ranking import (
    Embeddings,
    Ranks,
    ScoreMatrix,
    rank_both,
    rank_positives,
)
from mmbench.metrics.retrieval import IMAGE_TO_TEXT, TEXT_TO_IMAGE
from mmbench.recipe import digest
from mmbench_tasks.retrieval.answers import Embedded, Scored
from mmbench_tasks.retrieval.lists import directions, read_lists

_PAIR = ("_image_to_caption.json", "_caption_to_image.json")  # as ECCV Caption publishes them
Right = Mapping[int, Sequence[int]]

BOTH_WAYS = (
    *(f"text_to_image_recall_at_{k}" for k in (1, 5, 10)),
    *(f"image_to_text_recall_at_{k}" for k in (1, 5, 10)),
    "text_to_image_median_rank",
    "image_to_text_median_rank",
    "rsum",
)
SEVERAL_RIGHT = (  # as ECCV Caption reports
    *("text_to_image_map_at_r", "image_to_text_map_at_r"),
    *("text_to_image_r_precision", "image_to_text_r_precision"),
    *("text_to_image_recall_at_1", "image_to_text_recall_at_1"),
)


def usual_metrics(references: Path) -> Sequence[str]:
    """The metrics that such references are usually scored by.

    Raises: MMBenchError if they cannot be read.
    """
    if references.suffix in TABLES:
        asked = sorted(directions(references), reverse=True)
        measures = (*(f"recall_at_{k}" for k in (1, 5, 10)), "median_rank")
        found = [f"{direction}_{measure}" for direction in asked for measure in measures]
        return found if set(found) != set(BOTH_WAYS[:-1]) else BOTH_WAYS
    return SEVERAL_RIGHT if has_several_right_items(references) else BOTH_WAYS


def has_several_right_items(references: Path) -> bool:
    """Whether the file is of right items by id, and not of the image of each caption."""
    return references.suffix == ".json" and isinstance(read_json(references), dict)


def read_retrieval(predictions: Path, references: Path) -> PredictionFile:
    """Rank the right items of every query; a prediction is the ranks, a target the direction.

    Args:
        predictions: as `read_retrieval_scores` reads, or a table.
        references: the position of each caption's image (a list, .json or .npy), or one file of a
            published pair `*_image_to_caption.json` and `*_caption_to_image.json`, each
            `{"query id": [item id, ...], ...}`: only the queries that they name are asked.
        Or both tables (.jsonl, .parquet): queries' `id` and `prediction`, the ids of the items
            found, best first; and `id`, `target`, the id or ids of the right ones, `direction`
            ("text_to_image"), and where there is one `group`.
    Raises: MMBenchError for files that are not that, do not fit each other, or hold no numbers.
    """
    if predictions.suffix in TABLES:
        if references.suffix not in TABLES:
            raise MMBenchError(
                f"{predictions} is a table of lists: {references} must be one of right items, with "
                "the columns id, target and direction"
            )
        return read_lists(predictions, references)
    if references.suffix in TABLES:
        raise MMBenchError(
            f"{references} is a table of right items: {predictions} must be one of lists of items, "
            "with the columns id and prediction"
        )
    given = read_retrieval_scores(predictions)
    if has_several_right_items(references):
        return _several(given, predictions, references)
    image_of_caption = read_caption_images(references)
    scores = (
        Embeddings(*given.embeddings) if given.embeddings else ScoreMatrix(np.asarray(given.scores))
    )
    images, captions = scores.shape
    if captions != len(image_of_caption):
        raise MMBenchError(
            f"{predictions} has {captions:,} captions, {references} names the images of "
            f"{len(image_of_caption):,}"
        )
    ranks = rank_both(
        scores,
        matching_positives(range(images), image_of_caption),
        matching_positives(image_of_caption, range(images)),
    )
    samples = [
        Sample(f"{direction}/{place}", {}, direction, str(image))
        for direction, asked in ((IMAGE_TO_TEXT, range(images)), (TEXT_TO_IMAGE, image_of_caption))
        for place, image in enumerate(asked)
    ]
    fingerprint = digest({"image_of_caption": image_of_caption, "images": images})[:16]
    return PredictionFile(
        SampleSet(samples, references.stem, "given", fingerprint),
        [*ranks[0], *ranks[1]],
        file_hash(predictions),
    )


def read_retrieval_answers(predictions: Path, samples: SampleSet) -> list[Embedded | Scored]:
    """What embeddings or scores made elsewhere answer to a dataset's queries.

    Args:
        predictions: as `read_retrieval_scores` reads; media and captions as the dataset has them.
        samples: the queries of both sides.
    Raises: MMBenchError for a file that is not that, or of other numbers of media and captions.
    """
    if predictions.suffix in TABLES:
        raise MMBenchError(
            f"{predictions} is a table of lists, which hold too little to rank a dataset's items: "
            "give scores (.npy) or embeddings (.npz), or a table of right items by --references"
        )
    given = read_retrieval_scores(predictions)
    if given.image_ids or given.text_ids:
        raise MMBenchError(
            f"{predictions} has ids of its own: a dataset's items are known by their order alone, "
            "so leave image_ids and text_ids out"
        )
    texts = ["text" in sample.inputs for sample in samples]
    count = (len(texts) - sum(texts), sum(texts))
    if given.embeddings:
        found = tuple(map(len, given.embeddings))
    else:
        found = ScoreMatrix(np.asarray(given.scores)).shape
    if found != count:
        raise MMBenchError(
            f"{predictions} has {found[0]:,} images and {found[1]:,} captions, "
            f"{samples.dataset}, split {samples.split}, has {count[0]:,} and {count[1]:,}"
        )
    sides: list[list[Embedded | Scored]]
    if given.embeddings:
        sides = [[Embedded(row) for row in side] for side in given.embeddings]
    else:
        scores = np.asarray(given.scores)
        sides = [[Scored(row) for row in side] for side in (scores, scores.T)]
    rows = [iter(side) for side in sides]
    return [next(rows[is_text]) for is_text in texts]


def _never(absent: int, where: str) -> list[str]:
    return [f"{absent:,} right items are not in the {where}: never retrieved"] if absent else []


def _several(given: RetrievalFile, predictions: Path, references: Path) -> PredictionFile:
    name, captions_of, images_of = _published_pair(references)
    if given.embeddings:
        images, texts = given.embeddings
    else:
        images = texts = np.asanyarray(given.scores)
        ScoreMatrix(images)  # check it, before its sides are taken
        texts = images.T
    sizes = (len(images), len(texts))
    image_ids = given.image_ids or list(range(sizes[0]))
    text_ids = given.text_ids or list(range(sizes[1]))
    samples: list[Sample] = []
    answers: Ranks = []
    absent = 0
    for direction, right, sides, ids in (
        (IMAGE_TO_TEXT, captions_of, (images, texts), (image_ids, text_ids)),
        (TEXT_TO_IMAGE, images_of, (texts, images), (text_ids, image_ids)),
    ):
        known = {key: place for place, key in enumerate(ids[0])}
        unknown = [query for query in right if query not in known]
        if unknown:
            raise MMBenchError(
                f"{predictions}: {len(unknown):,} {direction} queries of {references} are not in "
                f"it: {first_five(unknown)}. Give its items' ids as image_ids and text_ids"
            )
        positives = positives_by_id(right, list(right), ids[1], allow_absent=True)
        positives_by_id({key: [key] for key in ids[0]}, ids[0], ids[0])  # no id is given twice
        absent += int(positives.absent.sum())
        rows = np.array([known[query] for query in right])
        scores = (
            Embeddings(sides[0][rows], sides[1])
            if given.embeddings
            else ScoreMatrix(sides[0][rows])
        )
        answers += rank_positives(scores, positives)
        # Whose caption it is, is not known: it is redrawn with the first image right for it.
        of_image = direction == IMAGE_TO_TEXT
        samples += [
            Sample(f"{direction}/{query}", {}, direction, str(query if of_image else items[0]))
            for query, items in right.items()
        ]
    content = [sorted(right.items()) for right in (captions_of, images_of)]
    fingerprint = digest({"right": content, "images": image_ids, "texts": text_ids})[:16]
    return PredictionFile(
        SampleSet(samples, name, "given", fingerprint),
        answers,
        file_hash(predictions),
        _never(absent, "gallery"),
    )


def _published_pair(references: Path) -> tuple[str, Right, Right]:
    """The pair's name, the right captions of images, and the right images of captions."""
    name = next(
        (references.name[: -len(end)] for end in _PAIR if references.name.endswith(end)), ""
    )
    if not name:
        raise MMBenchError(
            f"{references} holds right items by id: such files come in pairs, called "
            f"NAME{_PAIR[0]} and NAME{_PAIR[1]}"
        )
    captions_of, images_of = (read_positives(references.with_name(name + end)) for end in _PAIR)
    for right, end in ((captions_of, _PAIR[0]), (images_of, _PAIR[1])):
        if not right:
            raise MMBenchError(f"{references.with_name(name + end)} names no queries")
    return name, captions_of, images_of
