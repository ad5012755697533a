"""Odd files, scored as a user scores them: a right value or one clear line, never a traceback."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import mmbench
from mmbench.cli.commands import run_command
from mmbench.data import parquet_files
from mmbench.errors import MMBenchError

DEEP = "[" * 10_000 + "]" * 10_000


def write(path, rows):
    """JSON lines; a Parquet file; or a text as it is."""
    if path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif isinstance(rows, str | bytes):
        path.write_bytes(rows.encode() if isinstance(rows, str) else rows)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def predictions(*answers):
    return [{"id": i, "prediction": answer} for i, answer in enumerate(answers)]


def targets(*answers, **columns):
    rows = [{"id": i, "target": answer} for i, answer in enumerate(answers)]
    return [row | {k: v[i] for k, v in columns.items()} for i, row in enumerate(rows)]


def score(folder, task, given, references, **options):
    return mmbench.score(task, given, references, out=folder / "out", **options).record


def exact_match(folder, given, references):
    files = write(folder / "p.jsonl", given), write(folder / "r.jsonl", references)
    return score(folder, "vqa", *files, metrics=["exact_match"])


def by_category(record):
    return {entry.category: entry.value for entry in record.metrics}


def test_targets_of_one_text_and_of_several_are_scored_together(tmp_path):
    record = exact_match(tmp_path, predictions("a", "b"), targets("a", ["b", "c"]))
    assert record.primary.value == 1
    files = tmp_path / "p.jsonl", tmp_path / "r.jsonl"
    captions = score(tmp_path, "captioning", *files, metrics=["bleu_1"])
    assert captions.primary.value == pytest.approx(1)
    with pytest.raises(MMBenchError, match="accuracy compares with one right answer"):
        score(tmp_path, "vqa", *files, metrics=["accuracy"])


def test_categories_are_compared_as_text_and_groups_may_be_missing(tmp_path):
    kinds = [1, "1", 1.0, None, float("nan"), "", True]
    groups = [None, float("nan"), "", 5, "5", "x", 7]
    answers = ["a"] * 6 + ["b"]
    record = exact_match(
        tmp_path, predictions(*answers), targets(*["a"] * 7, category=kinds, group=groups)
    )
    assert by_category(record) == {None: pytest.approx(6 / 7), "1": 1.0, "true": 0.0}
    assert record.groups == 6


def test_answer_types_that_are_numbers_or_absent_are_read(tmp_path):
    rows = [(10, 3), (11, None), (12, "other")]
    annotations = [
        {"question_id": q, "image_id": 1, "answer_type": kind, "answers": [{"answer": "x"}] * 10}
        for q, kind in rows
    ]
    given = [{"question_id": q, "answer": "x"} for q, _ in rows]
    record = score(
        tmp_path,
        "vqa",
        write(tmp_path / "p.json", json.dumps(given)),
        write(tmp_path / "a.json", json.dumps({"annotations": annotations})),
    )
    assert by_category(record) == {None: 1.0, "3": 1.0, "other": 1.0}


def test_half_of_a_character_is_scored_and_noted(tmp_path):
    given = r'{"id": "\ud83d", "prediction": "stop \ud83d"}'
    right = r'{"id": "\ud83d", "target": "stop", "category": "\ud83d"}'
    record = exact_match(tmp_path, given, right)
    assert record.primary.value == 0
    assert any("1 predictions hold U+FFFD" in note for note in record.notes)


def test_separators_within_a_line_are_part_of_its_answer(tmp_path):
    odd = "a\u2028b\u0085c\x0cd"
    lines = [json.dumps(row, ensure_ascii=False) for row in predictions(odd, "b")]
    right = [json.dumps(row, ensure_ascii=False) for row in targets(odd, "b")]
    assert exact_match(tmp_path, "\r\n".join(lines), "\n".join(right)).primary.value == 1


def test_a_zero_cider_of_one_image_is_explained(tmp_path):
    files = (
        write(tmp_path / "p.jsonl", predictions("a man rides a horse")),
        write(tmp_path / "r.jsonl", targets(["a man rides a horse", "a person on a horse"])),
    )
    record = score(tmp_path, "captioning", *files, metrics=["cider", "bleu_1"])
    assert [entry.value for entry in record.metrics] == [0, pytest.approx(1)]
    assert any("single image" in note and "IDF" in note for note in record.notes)


ODD_PREDICTIONS = {
    "null": "null",
    "a number": "3",
    "a mapping": "{}",
    "a list of nothing": "[null]",
    "nothing": "",
    "deep": DEEP,
    "deep in a row": '[{"question_id": 1, "answer": ' + DEEP + "}]",
    "half a file": '[{"question_id": 1',
    "a number of 5,000 digits": '[{"question_id": ' + "1" * 5000 + ', "answer": "a"}]',
}


def lines_of(capsys, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["mmbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run_command()
    assert ended.value.code == 2
    found = capsys.readouterr().err.splitlines()
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("content", ODD_PREDICTIONS.values(), ids=ODD_PREDICTIONS.keys())
@pytest.mark.parametrize("side", ["--predictions", "--references", "--questions"])
def test_json_that_is_none_of_the_layouts_is_one_line(tmp_path, capsys, content, side):
    annotations = [{"question_id": 1, "image_id": 1, "answers": [{"answer": "a"}] * 10}]
    files = {
        "--predictions": write(tmp_path / "p.json", '[{"question_id": 1, "answer": "a"}]'),
        "--references": write(tmp_path / "r.json", json.dumps({"annotations": annotations})),
    }
    files[side] = write(tmp_path / "odd.json", content)
    options = [part for pair in files.items() for part in pair]
    line = lines_of(capsys, "score", "--task", "vqa", *options, "--out", tmp_path / "out")
    assert "odd.json" in line
    assert not (tmp_path / "out").exists()


ODD_ROWS = {
    "an id that is null": ([{"id": None, "prediction": "a"}], None, "ids"),
    "an id that is NaN": ([{"id": float("nan"), "prediction": "a"}], None, "ids"),
    "an id that is a list": ([{"id": [0], "prediction": "a"}], None, "ids"),
    "an answer that is a truth value": (predictions(True), None, "not a text"),
    "an answer that is a mapping": (predictions({"a": 1}), None, "not a text"),
    "a target that is null": (predictions("a"), targets(None), "target"),
    "a target that is a number": (predictions("a"), targets(3), "target"),
    "no target": (predictions("a"), targets([]), "target"),
    "a target that is null among others": (predictions("a"), targets(["a", None]), "target"),
    "a target in a list in a list": (predictions("a"), targets([["a"]]), "target"),
    "a category that is a list": (predictions("a"), targets("a", category=[["x"]]), "category"),
    "a group that is a mapping": (predictions("a"), targets("a", group=[{"x": 1}]), "group"),
    "ids that are equal as text": ([*predictions("a"), {"id": "0", "prediction": "a"}], None, "0"),
}


@pytest.mark.parametrize(("given", "right", "word"), ODD_ROWS.values(), ids=ODD_ROWS.keys())
def test_a_row_that_does_not_fit_is_one_line(tmp_path, given, right, word):
    with pytest.raises(MMBenchError, match=word) as error:
        exact_match(tmp_path, given, right or targets("a"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "value", [b"red", decimal.Decimal("1.5"), datetime.date(2020, 1, 1), {"x": 1}]
)
@pytest.mark.parametrize("column", ["id", "target", "category", "group"])
def test_a_typed_column_of_parquet_is_one_line(tmp_path, value, column):
    rows = [{"id": "0", "target": "a", "category": "c", "group": "g"} | {column: value}]
    files = write(tmp_path / "p.jsonl", predictions("a")), write(tmp_path / "r.parquet", rows)
    with pytest.raises(MMBenchError, match=r"r\.parquet.*of type") as error:
        score(tmp_path, "vqa", *files, metrics=["exact_match"])
    assert "\n" not in str(error.value)


def test_a_folder_called_like_a_table_is_one_line(tmp_path):
    (tmp_path / "r.parquet").mkdir()
    given = write(tmp_path / "p.jsonl", predictions("a"))
    with pytest.raises(MMBenchError, match=r"cannot read .*r\.parquet"):
        score(tmp_path, "vqa", given, tmp_path / "r.parquet", metrics=["exact_match"])


def test_parquet_that_cannot_be_read_whole_is_one_line(tmp_path, monkeypatch):
    given = write(tmp_path / "p.jsonl", predictions("a", "b"))
    references = write(tmp_path / "r.parquet", targets("a", "b"))
    monkeypatch.setattr(parquet_files, "MOST_ROWS", 1)
    with pytest.raises(MMBenchError, match="declares 2 rows"):
        score(tmp_path, "vqa", given, references, metrics=["exact_match"])
    monkeypatch.undo()
    columns = [pa.array([0, 1]), pa.array([0, 1]), pa.array(["a", "b"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["id", "id", "target"]), references)
    with pytest.raises(MMBenchError, match="has the column id more than once"):
        score(tmp_path, "vqa", given, references, metrics=["exact_match"])
    far = pa.array([0, 2**62], pa.timestamp("us"))
    pq.write_table(pa.table({"id": [0, 1], "target": ["a", "b"], "when": far}), references)
    with pytest.raises(MMBenchError, match="as Parquet"):
        score(tmp_path, "vqa", given, references, metrics=["exact_match"])


def test_ids_of_lists_are_compared_as_text(tmp_path):
    right = [{"id": 1, "target": 11}, {"id": "2", "target": ["12", 13.0]}]
    references = write(
        tmp_path / "r.jsonl", [row | {"direction": "text_to_image"} for row in right]
    )
    found = []
    for name, kind in (("text", str), ("number", int), ("float", float)):
        lists = [{"id": kind(1), "prediction": [kind(i) for i in (11, 12, 13)]}]
        lists += [{"id": kind(2), "prediction": [kind(i) for i in (11, 13, 12)]}]
        given = write(
            tmp_path / f"{name}.jsonl",
            lists
            if kind is not str
            else [
                {"id": row["id"].removesuffix(".0"), "prediction": row["prediction"]}
                for row in lists
            ],
        )
        found.append(score(tmp_path, "retrieval", given, references).metrics)
    assert found[0] == found[1] == found[2]
    values = {entry.name: entry.value for entry in found[0]}
    assert values["text_to_image_recall_at_1"] == 0.5
    assert values["text_to_image_median_rank"] == 1.5


RANKS = [f"text_to_image_{name}" for name in ("recall_at_1", "median_rank", "mean_rank", "mrr")]


def test_what_needs_all_ranks_is_left_out_where_a_list_holds_no_right_item(tmp_path, capsys):
    rows = [{"id": i, "target": i, "direction": "text_to_image"} for i in range(3)]
    references = write(tmp_path / "r.jsonl", rows)
    given = write(tmp_path / "p.jsonl", predictions([0, 1], [2, 1], [0, 1]))
    record = score(tmp_path, "retrieval", given, references, metrics=RANKS)
    values = {entry.name: entry.value for entry in record.metrics}
    assert values == {RANKS[0]: pytest.approx(1 / 3), RANKS[3]: 0.5}
    assert not record.failed
    for name in RANKS[1:3]:
        assert any(note.startswith(f"{name} is left out") for note in record.notes)
    assert any("the least that they can be" in note for note in record.notes)
    line = lines_of(
        capsys, "score", "--task", "retrieval", "--predictions", given, "--references", references,
        "--metrics", RANKS[1], "--out", tmp_path / "other",
    )  # fmt: skip
    assert "no metric could be computed" in line


@pytest.mark.parametrize(
    ("lists", "right"),
    [
        ([[{"id": 0, "score": 0.1}]], [0]),
        ([[[0, 0.9]]], [0]),
        ([[None]], [0]),
        ([[0, "0"]], [0]),
        (["0"], [0]),
        ([[0]], [None]),
        ([[0]], [[]]),
        ([[0]], [[[0]]]),
        ([[0]], [{"a": 1}]),
    ],
)
def test_items_that_are_no_ids_are_one_line(tmp_path, lists, right):
    given = write(tmp_path / "p.jsonl", predictions(*lists))
    rows = [row | {"direction": "text_to_image"} for row in targets(*right)]
    with pytest.raises(MMBenchError, match=r"target|prediction") as error:
        score(tmp_path, "retrieval", given, write(tmp_path / "r.jsonl", rows))
    assert "\n" not in str(error.value)


def pair(folder, captions_of, images_of, mark=b""):
    for end, right in (("image_to_caption", captions_of), ("caption_to_image", images_of)):
        text = right if isinstance(right, str) else json.dumps(right)
        write(folder / f"mine_{end}.json", mark + text.encode())
    return folder / "mine_image_to_caption.json"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_query_whose_right_items_are_all_absent_never_finds_one(tmp_path, mark):
    np.save(tmp_path / "m.npy", np.eye(2))
    references = pair(tmp_path, {0: [77], 1: [1]}, {0: [0]}, mark)
    names = [f"image_to_text_{n}" for n in ("recall_at_1", "map_at_r", "r_precision", "mrr")]
    record = score(
        tmp_path, "retrieval", tmp_path / "m.npy", references,
        metrics=[*names, "image_to_text_median_rank", "text_to_image_median_rank"],
    )  # fmt: skip
    values = {entry.name: entry.value for entry in record.metrics}
    assert [round(values.pop(name), 6) for name in names] == [0.5] * 4
    assert values == {"text_to_image_median_rank": 1}
    assert any("image_to_text_median_rank is left out" in note for note in record.notes)


@pytest.mark.parametrize(
    "captions_of",
    ['{"--5": [0]}', '{"0": [0], "0": [1]}', '{"0": [0], "00": [1]}', '{"0": null}', DEEP, "null"],
)
def test_a_file_of_right_items_that_is_none_is_one_line(tmp_path, captions_of):
    np.save(tmp_path / "m.npy", np.eye(2))
    references = pair(tmp_path, captions_of, {0: [0]})
    with pytest.raises(MMBenchError, match="mine_image_to_caption") as error:
        score(tmp_path, "retrieval", tmp_path / "m.npy", references)
    assert "\n" not in str(error.value)


def test_long_doubles_are_read_as_doubles(tmp_path):
    rng = np.random.default_rng(0)
    sides = {side: rng.normal(size=(5, 4)) for side in ("image", "text")}
    np.savez(tmp_path / "double.npz", **sides)
    np.savez(tmp_path / "long.npz", **{k: v.astype(np.longdouble) for k, v in sides.items()})
    np.save(tmp_path / "long.npy", (sides["image"] @ sides["text"].T).astype(np.longdouble))
    references = write(tmp_path / "images.json", "[0, 1, 2, 3, 4]")
    found = [
        score(tmp_path, "retrieval", tmp_path / name, references).metrics
        for name in ("double.npz", "long.npz", "long.npy")
    ]
    assert found[0] == found[1]
    assert len(found[2]) == len(found[0])


def test_notes_on_images_are_on_record(tmp_path):
    rng = np.random.default_rng(0)
    for side in ("fake", "real"):
        (tmp_path / side).mkdir()
        for i in range(6):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / side / f"{i}.png")
    Image.fromarray(rng.integers(0, 2**16, (8, 8), dtype=np.uint16)).save(tmp_path / "fake/0.png")
    write(tmp_path / "real" / "notes.txt", "hello")
    record = score(
        tmp_path, "generation", tmp_path / "fake", tmp_path / "real",
        metrics=["kid_efficientnet_lite0", "image_precision_efficientnet_lite0"],
    )  # fmt: skip
    assert any(note.startswith("fake: 1 images are grey of 16") for note in record.notes)
    assert any("real: 1 files or folders" in note for note in record.notes)


@pytest.mark.parametrize("content", ["null", DEEP, '{"0": 3}', '{"0": "a", "0": "b"}'])
def test_prompts_that_are_none_are_one_line(tmp_path, content):
    (tmp_path / "fake").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "fake" / "0.png")
    with pytest.raises(MMBenchError, match="prompts.json") as error:
        score(tmp_path, "generation", tmp_path / "fake", write(tmp_path / "prompts.json", content))
    assert "\n" not in str(error.value)


def test_a_table_outside_its_folder_is_allowed_by_a_flag(tmp_path, capsys):
    (tmp_path / "tables").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    rows = predictions(*["../a.png"] * 3)
    table = write(tmp_path / "tables" / "t.jsonl", rows)
    arguments = ["score", "--task", "generation", "--predictions", table, "--references", table]
    assert "--allow-outside" in lines_of(capsys, *arguments, "--out", tmp_path / "out")
    target = [{"id": row["id"], "target": row["prediction"]} for row in rows]
    references = write(tmp_path / "tables" / "r.jsonl", target)
    record = score(
        tmp_path, "generation", table, references,
        metrics=["kid_efficientnet_lite0"], allow_outside=True,
    )  # fmt: skip
    assert record.samples == 3
