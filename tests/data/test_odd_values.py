"""Values that are none, or of odd types: named by the check of rows, in tables of every layout."""

import csv
import io
import json
import math
import tarfile
from datetime import date
from decimal import Decimal

import pytest
from PIL import Image

from mmbench.data.dataset import DatasetSpec, load_spec, tasks_of
from mmbench.data.splits import load_split
from mmbench.errors import MMBenchError
from tests.data.layouts import image

ROWS = 4
COLUMNS = {"id": "id", "text": "q", "target": "a", "image": "image", "group": "g"}


@pytest.fixture
def folder(tmp_path):
    for n in range(ROWS):
        image(tmp_path / f"images/{n}.png", n)
    return tmp_path


def rows() -> list[dict]:
    return [
        {"id": n, "q": f"is it {n}?", "a": "yes", "image": f"{n}.png", "g": f"g{n}"}
        for n in range(ROWS)
    ]


def spec_of(folder, task="vqa", **changes) -> DatasetSpec:
    settings = {
        "name": "odd",
        "task": task,
        "summary": "odd",
        "homepage": "here",
        "licence": "MIT",
        "citation": "me",
        "data_dir": folder,
        "splits": {"test": {"table": "table"}},
        "image_size": 8,
    }
    return DatasetSpec.model_validate(settings | changes)


def json_table(folder, table, columns=COLUMNS, kind="questions", **changes):
    (folder / "table").write_text(json.dumps(table))
    layout = {"reader": "json_table", "columns": columns, "images": "images/{image}"}
    return load_split(spec_of(folder, layout=layout, **changes), "test", kind)


def csv_table(folder, table, **changes):
    with (folder / "table").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    layout = {"reader": "csv_table", "columns": COLUMNS, "images": "images/{image}"}
    return load_split(spec_of(folder, layout=layout, **changes), "test", "questions")


def parquet(folder, table, kind="questions", columns=COLUMNS, **changes):
    datasets = pytest.importorskip("datasets")
    for row in table:
        picture = io.BytesIO()
        Image.new("RGB", (8, 8), (row["id"], 0, 0)).save(picture, "PNG")
        row["image"] = {"bytes": picture.getvalue(), "path": None}
    made = datasets.Dataset.from_list(table).cast_column("image", datasets.Image())
    (folder / "parquet").mkdir(exist_ok=True)
    made.to_parquet(folder / "parquet/test.parquet")
    hub = {"path": str(folder / "parquet"), "columns": columns, "splits": {"test": "test"}}
    changes = {"hub": hub, "splits": {"test": {}}, "data_dir": None} | changes
    return load_split(spec_of(folder, **changes), "test", kind)


def names(make, folder, table, says: str, **changes) -> None:
    """The last row, a bad one, is named and can be skipped; the others stay."""
    with pytest.raises(
        MMBenchError, match=f"1 of {ROWS} samples cannot be used: .*{says}"
    ) as error:
        make(folder, [dict(row) for row in table], **changes)
    assert "\n" not in str(error.value)
    str(error.value).encode()  # has no half of a character
    left = make(folder, table, skip_bad=True, **changes)
    assert left.rows["row"] == list(range(ROWS - 1))
    assert len(left.skipped) == 1


NAN = float("nan")
HALF = "a \ud83d?"
JSON_VALUES = [
    ("a", None, "it has no answer"),
    ("a", NAN, "it has no answer"),
    ("a", "", "it has no answer"),
    ("a", [], "it has no answer"),
    ("a", math.inf, "its answer is inf"),
    ("a", [None], "one of its answers is None"),
    ("a", ["yes", NAN], "one of its answers is nan"),
    ("a", ["yes", " "], "one of its answers is ' '"),
    ("a", {"x": 1}, "its answer is {'x': 1}"),
    ("a", [["yes"]], r"one of its answers is \['yes'\]"),
    ("q", None, "it has no question"),
    ("q", NAN, "its question is nan"),
    ("q", 5, "its question is 5"),
    ("q", ["a"], "its question is"),
    ("id", None, "it has no id"),
    ("id", NAN, "it has no id"),
    ("id", [1], r"its id is \[1\]"),
    ("id", 2, "another sample has this id"),
    ("id", "2", "another sample has this id"),
    ("g", None, "it has no group"),
    ("g", NAN, "it has no group"),
    ("g", "", "it has no group"),
    ("g", {"a": 1}, "its group is"),
    ("image", None, "it has no image"),
    ("image", NAN, "it has no image"),
    ("image", "", "it has no image"),
    ("image", ["1.png"], "its image is"),
    ("image", {"a": 1}, "its image is"),
    ("image", "a\0.png", "null"),
    ("image", ".", "Is a directory"),
    ("image", "x" * 5000, "name too long"),
]


@pytest.mark.parametrize(("column", "value", "says"), JSON_VALUES)
def test_json_rows_are_named(folder, column, value, says):
    table = rows()
    table[3][column] = value
    names(json_table, folder, table, says)


@pytest.mark.parametrize(("column", "called"), [("q", "text"), ("a", "target"), ("id", "id")])
def test_half_a_character_is_a_whole_one_that_stands_for_it(folder, column, called):
    table = rows()
    table[3][column] = HALF
    loaded = json_table(folder, table)
    assert loaded.rows[3][called] == "a \ufffd?"


CSV_VALUES = [
    ("a", "", "answer"),
    ("a", "nan", "answer"),
    ("g", "NaN", "group"),
    ("g", "", "group"),
]


@pytest.mark.parametrize(
    ("column", "value", "says"), [*CSV_VALUES, ("id", "", "id"), ("image", "", "image")]
)
def test_csv_rows_are_named(folder, column, value, says):
    table = rows()
    table[3][column] = value
    names(csv_table, folder, table, f"it has no {says}")


PARQUET_VALUES = [
    ("a", [["yes"], ["no"], ["no"], [None]], "one of its answers is None"),
    ("a", [1.0, 2.0, 3.0, NAN], "it has no answer"),
    ("a", [Decimal("1.5"), Decimal("2.5"), Decimal("2.5"), None], "it has no answer"),
    ("a", [date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 2), None], "it has no answer"),
    ("g", ["a", "b", "c", None], "it has no group"),
    ("g", [1.0, 2.0, 3.0, NAN], "it has no group"),
]


@pytest.mark.parametrize(("column", "values", "says"), PARQUET_VALUES)
def test_parquet_rows_are_named(folder, column, values, says):
    table = rows()
    for row, value in zip(table, values, strict=True):
        row[column] = value
    names(parquet, folder, table, says)


@pytest.mark.parametrize("value", [b"yes", {"x": 1}])
def test_parquet_values_that_are_no_answers_are_named(folder, value):
    with pytest.raises(MMBenchError, match="4 of 4 samples cannot be used: .*its answer is"):
        parquet(folder, [row | {"a": value} for row in rows()])


def test_days_and_exact_numbers_are_texts(folder):
    values = [Decimal("1.50"), Decimal("2.00"), Decimal("3.25"), Decimal("0.10")]
    table = [row | {"a": value} for row, value in zip(rows(), values, strict=True)]
    assert parquet(folder, table).rows["target"] == ["1.50", "2.00", "3.25", "0.10"]
    table = [row | {"a": date(2020, 1, 2)} for row in rows()]
    columns = COLUMNS | {"day": "a", "category": "a"}
    loaded = parquet(folder, table, columns=columns)
    assert set(loaded.rows["target"]) == set(loaded.rows["category"]) == {"2020-01-02"}


@pytest.mark.parametrize("value", [NAN, None, ""])
def test_a_category_that_is_none_is_none(folder, value):
    table = [row | {"c": value if n else 3} for n, row in enumerate(rows())]
    loaded = json_table(folder, table, COLUMNS | {"category": "c"})
    assert loaded.rows["category"] == ["3", None, None, None]


CHOICES = [
    ("abc", "a", "its choices are 'abc', not a list"),
    (["yes", None], "yes", "one of its choices is None"),
    ([["a"], ["b"]], 0, "one of its"),
    (["yes", "no"], 7, "its answer is 7, not the place of one of its 2 choices"),
    (["yes", "no"], -1, "its answer is -1, not the place"),
    (["yes", "no"], True, "its answer 'True' is none of its choices"),
    (["yes", "no"], "maybe", "its answer 'maybe' is none of its choices"),
    ([{"a": 1}, {"a": 2}], 0, "its answer is {'a': 1}"),
]


@pytest.mark.parametrize(("choices", "target", "says"), CHOICES)
def test_choices_that_cannot_be_chosen_from_are_named(folder, choices, target, says):
    table = [row | {"c": ["yes", "no"]} for row in rows()]
    table[3] |= {"c": choices, "a": target}
    names(json_table, folder, table, says, columns=COLUMNS | {"choices": "c"})


@pytest.mark.parametrize(
    ("choices", "target", "right"),
    [([1, 2, 3], 2, "3"), (["5", "7"], 7, "7"), (["yes", "no"], 1.0, "no"), (None, 4, "4")],
)
def test_answers_by_place_or_by_value(folder, choices, target, right):
    table = [row | {"c": ["yes", "no"]} for row in rows()]
    table[3] |= {"c": choices, "a": target}
    loaded = json_table(folder, table, COLUMNS | {"choices": "c"})
    assert loaded.rows[3]["target"] == right


CAPTIONS = [
    (3, "its caption is 3"),
    (None, "it has no caption"),
    ([], "it has no caption"),
    (NAN, "its caption is nan"),
    (True, "its caption is True"),
    ({"a": "b"}, "its caption is {'a': 'b'}"),
    ([None, "a"], "it has no caption"),
    ([["a"]], r"its caption is \['a'\]"),
    (["", "a"], "its caption is ''"),
]


@pytest.mark.parametrize(("value", "says"), CAPTIONS)
def test_captions_that_are_no_texts_are_named(folder, value, says):
    table = [row | {"c": ["a dog", "a cat"]} for row in rows()]
    table[3]["c"] = value
    columns = {"captions": "c", "image": "image"}
    names(json_table, folder, table, says, columns=columns, kind="captions", task="captioning")


def test_captions_of_shards_that_are_no_texts_are_named(folder):
    texts = [b"a dog", b"", b"\xff\xfe", b"nan", "é".encode()]
    with tarfile.open(folder / "0.tar", "w") as shard:
        for n, text in enumerate(texts):
            content = (folder / f"images/{n % ROWS}.png").read_bytes()
            for suffix, member in (("png", content), ("txt", text)):
                info = tarfile.TarInfo(f"{n}.{suffix}")
                info.size = len(member)
                shard.addfile(info, io.BytesIO(member))
    spec = spec_of(
        folder,
        "captioning",
        layout={"reader": "webdataset", "shards": "*.tar"},
        splits={"test": {}},
    )
    with pytest.raises(MMBenchError, match="3 of 5 samples"):
        load_split(spec, "test", "captions")
    loaded = load_split(spec.model_copy(update={"skip_bad": True}), "test", "captions")
    assert loaded.rows["captions"] == [["a dog"], ["é"]]
    assert len(loaded.skipped) == 3


def test_columns_of_mixed_types_become_texts(folder):
    values = [1, "a", [1], 10**30]
    table = [row | {"e": value} for row, value in zip(rows(), values, strict=True)]
    loaded = json_table(folder, table, COLUMNS | {"extra": "e"})
    assert loaded.rows["extra"] == ["1", "a", "[1]", str(10**30)]


@pytest.mark.parametrize(
    ("first", "targets"),
    [
        (["yes"], ["yes", "yes", "yes", "yes"]),
        (["yes", "no"], [["yes", "no"], ["yes"], ["yes"], ["yes"]]),
    ],
)
def test_one_answer_and_lists_of_answers_may_stand_beside_each_other(folder, first, targets):
    table = rows()
    table[0]["a"] = first
    assert json_table(folder, table).rows["target"] == targets


def test_images_named_by_numbers_and_texts_may_stand_beside_each_other(folder):
    table = [row | {"image": n if n % 2 else str(n)} for n, row in enumerate(rows())]
    (folder / "table").write_text(json.dumps(table))
    layout = {"reader": "json_table", "columns": COLUMNS, "images": "images/{image}.png"}
    loaded = load_split(spec_of(folder, layout=layout), "test", "questions")
    assert len(loaded.media["image"]) == ROWS


def test_a_column_named_twice_is_refused(folder):
    (folder / "table").write_text("id,q,a,image,a\n1,is it?,yes,1.png,no\n")
    layout = {"reader": "csv_table", "columns": COLUMNS, "images": "images/{image}"}
    with pytest.raises(MMBenchError, match="the column a twice"):
        load_split(spec_of(folder, layout=layout), "test", "questions")


def test_a_table_with_a_byte_order_mark_is_read(folder):
    json_table(folder, rows())
    path = folder / "table"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    layout = {"reader": "json_table", "columns": COLUMNS, "images": "images/{image}"}
    assert len(load_split(spec_of(folder, layout=layout), "test", "questions").rows) == ROWS


@pytest.mark.parametrize(
    "text", ["tasks: 5", "tasks: {}", "tasks: [vqa]", "tasks: {vqa: [1]}", "tasks: {vqa: 3}"]
)
def test_tasks_that_are_no_mapping_are_refused(tmp_path, text):
    path = tmp_path / "d.yaml"
    path.write_text(text)
    with pytest.raises(MMBenchError, match="must be a mapping"):
        load_spec(str(path), tasks_of(str(path))[0])
