"""Scores and embeddings from elsewhere: one right image a caption, or several right items."""

import json

import numpy as np
import pandas as pd
import pytest

import mmbench
from mmbench.data.right_items import read_positives
from mmbench.errors import MMBenchError


def score(folder, predictions, references, **options):
    return mmbench.score("retrieval", predictions, references, out=folder / "results", **options)


def write_pair(folder, captions_of, images_of):
    for end, right in (("image_to_caption", captions_of), ("caption_to_image", images_of)):
        (folder / f"mine_{end}.json").write_text(json.dumps(right))
    return folder / "mine_image_to_caption.json"


def r_precision_and_map(order, right):
    """As eccv_caption computes them, of one query, from its sorted list of items."""
    hits = np.isin(order[: len(right)], right)
    precisions = np.cumsum(hits) / np.arange(1, len(right) + 1)
    return hits.mean(), (precisions * hits).sum() / len(right)


@pytest.mark.parametrize("name", ["eccv", "cxc"])
def test_published_right_items_are_scored_from_embeddings(published, request, tmp_path, name):
    folder = published / "eccv_caption_data"
    if name != "eccv":
        folder = request.getfixturevalue("shared_data") / "metric_cases" / "eccv_caption_data"
    captions_of = read_positives(folder / f"{name}_image_to_caption.json")
    images_of = read_positives(folder / f"{name}_caption_to_image.json")
    images = np.array(sorted(read_positives(folder / "original_image_to_caption.json")))
    texts = np.load(folder / "coco_test_ids.npy")
    assert len(texts) == 25000
    rng = np.random.default_rng(0)
    image, text = rng.standard_normal((5000, 16)), rng.standard_normal((25000, 16))
    np.savez(tmp_path / "e.npz", image=image, text=text, image_ids=images, text_ids=texts)
    result = score(tmp_path, tmp_path / "e.npz", folder / f"{name}_caption_to_image.json")
    found = {m.name: m.value for m in result.record.metrics}
    assert result.record.dataset == name
    assert result.record.samples == len(captions_of) + len(images_of)
    if name == "eccv":
        assert result.record.notes == ["2 right items are not in the gallery: never retrieved"]
    else:
        return  # CxC asks 30,000 queries: ECCV Caption's, in the same layout, are enough to check

    image /= np.linalg.norm(image, axis=1, keepdims=True)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    for direction, right, asked, asked_ids, items, item_ids in (
        ("image_to_text", captions_of, image, images, text, texts),
        ("text_to_image", images_of, text, texts, image, images),
    ):
        place = {key: row for row, key in enumerate(asked_ids.tolist())}
        longest = max(map(len, right.values()))
        values = []
        for query, known in right.items():
            scores = items @ asked[place[query]]
            first = np.argpartition(-scores, longest)[:longest]
            order = item_ids[first[np.argsort(-scores[first])]]
            values.append(r_precision_and_map(order, known))
        expected = np.mean(values, axis=0)
        assert found[f"{direction}_r_precision"] == pytest.approx(expected[0], abs=1e-12)
        assert found[f"{direction}_map_at_r"] == pytest.approx(expected[1], abs=1e-12)


def test_right_items_are_scored_from_a_matrix_by_position(tmp_path):
    references = write_pair(tmp_path, {0: [0, 1], 1: [2]}, {0: [0], 2: [0, 1]})
    matrix = np.array([[0.9, 0.1, 0.5], [0.1, 0.2, 0.3]])
    np.save(tmp_path / "matrix.npy", matrix)
    np.savez(tmp_path / "matrix.npz", scores=matrix, image_ids=[0, 1], text_ids=[0, 1, 2])
    names = ["image_to_text_map_at_r", "text_to_image_map_at_r", "text_to_image_r_precision"]
    for file in ("matrix.npy", "matrix.npz"):
        result = score(tmp_path, tmp_path / file, references, metrics=names)
        # Image 0 finds caption 0, then the wrong 2: (1 / 2 + 1) / 2. Both captions find theirs.
        assert [m.value for m in result.record.metrics] == [0.75, 1.0, 1.0]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            {"image_ids": [7, 8, 9, 10, 11, 12, 13]},
            "6 image_to_text queries of .* 0, 1, 2, 3, 4, .*",
        ),
        ({"image_ids": [0, 1, 2, 3, 4, 5, 5]}, "1 query ids are given twice .5."),
        (
            {"image_ids": [0, 1, 2, 3, 4, 5]},
            r"whole numbers of shape \(7,\), got int64 of shape",
        ),
        ({"text_ids": [0.5] * 7}, "text_ids must be whole numbers"),
    ],
)
def test_ids_that_do_not_fit_are_one_clear_error(tmp_path, ids, message):
    right = {i: [i] for i in range(6)}
    references = write_pair(tmp_path, right, right)
    np.savez(tmp_path / "e.npz", image=np.eye(7), text=np.eye(7), **ids)
    with pytest.raises(MMBenchError, match=message):
        score(tmp_path, tmp_path / "e.npz", references)
    assert not (tmp_path / "results").exists()


def test_right_items_without_their_pair_are_one_clear_error(tmp_path):
    np.save(tmp_path / "matrix.npy", np.eye(2))
    alone = tmp_path / "right_image_to_caption.json"
    alone.write_text('{"0": [0]}')
    with pytest.raises(MMBenchError, match="cannot read .*right_caption_to_image.json"):
        score(tmp_path, tmp_path / "matrix.npy", alone)
    (tmp_path / "right.json").write_text('{"0": [0]}')
    with pytest.raises(MMBenchError, match="such files come in pairs, called NAME_image_to"):
        score(tmp_path, tmp_path / "matrix.npy", tmp_path / "right.json")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.full((2, 4), np.nan), "NaN or infinite"),
        (np.full((2, 4), np.inf), "NaN or infinite"),
        (np.ones((2, 3)), "has 3 captions, .* names the images of 4"),
        (np.ones(4), "must be a matrix"),
        (np.array([["a", "b"]]), "must be a matrix of real numbers"),
        ({"image": np.full((2, 3), np.nan), "text": np.ones((4, 3))}, "row embeddings hold 6"),
        ({"image": np.ones((2, 3)), "text": np.full((4, 3), np.inf)}, "column embeddings hold 12"),
        ({"image": np.ones((2, 3)), "text": np.ones((4, 5))}, "must have the same width"),
        ({"image": np.ones((2, 3))}, "must hold the arrays image and text, or scores"),
    ],
)
def test_scores_that_do_not_fit_are_one_clear_error(tmp_path, matrix, message):
    path = tmp_path / ("scores.npz" if isinstance(matrix, dict) else "scores.npy")
    if isinstance(matrix, dict):
        np.savez(path, **matrix)
    else:
        np.save(path, matrix)
    (tmp_path / "images.json").write_text("[0, 0, 1, 1]")
    with pytest.raises(MMBenchError, match=message):
        score(tmp_path, path, tmp_path / "images.json")
    assert not (tmp_path / "results").exists()


def write_table(path, rows):
    if path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_lists_of_what_was_found_are_scored_from_tables(tmp_path, suffix):
    found = [{"id": "q1", "prediction": ["b", "a"]}, {"id": "q2", "prediction": ["c", "a", "d"]}]
    right = [{"id": "q2", "target": ["d", "x"]}, {"id": "q1", "target": ["b"]}]
    rows = [row | {"direction": "text_to_image", "group": "g"} for row in right]
    predictions = write_table(tmp_path / f"p.{suffix}", found)
    references = write_table(tmp_path / f"r.{suffix}", rows)
    result = score(tmp_path, predictions, references)
    values = {m.name.removeprefix("text_to_image_"): m.value for m in result.record.metrics}
    assert values == {"recall_at_1": 0.5, "recall_at_5": 1, "recall_at_10": 1, "median_rank": 2}
    assert result.record.notes == ["1 right items are not in the lists: never retrieved"]
    assert result.record.groups == 1


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([{"id": i, "prediction": [0]} for i in range(3)], "4 ids have no prediction: 3, 4, 5, 6"),
        ([{"id": i // 2, "prediction": [0]} for i in range(14)], "7 ids have more than one pred"),
        ([{"id": i, "prediction": [0]} for i in range(9)], "2 ids are unknown to .*: 7, 8"),
        ([{"id": i, "prediction": [3, 3]} for i in range(7)], "prediction of 0 is not a list of"),
        ([{"id": i, "prediction": "a cat"} for i in range(7)], "is not a list of items"),
        ([], "holds no predictions"),
    ],
)
def test_lists_that_do_not_fit_are_one_clear_error(tmp_path, found, message):
    right = [{"id": i, "target": 0, "direction": "text_to_image"} for i in range(7)]
    references = write_table(tmp_path / "r.jsonl", right)
    with pytest.raises(MMBenchError, match=message):
        score(tmp_path, write_table(tmp_path / "p.jsonl", found), references)
    assert not (tmp_path / "results").exists()
