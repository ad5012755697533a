"""Rows with a caption each are what lists of captions are: an image once, with all its captions."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import mmbench
from mmbench import registry
from mmbench.data.splits import load_split
from mmbench.errors import MMBenchError

HEAD = """
tasks: {captioning: {}, retrieval: {}, generation: {}}
summary: ten pictures
homepage: https://example.org
licence: MIT
citation: none
image_size: 16
splits:
  train: %s
  validation: {of: train, hold_out: 0.3}
  test: %s
"""
IMAGES, CAPTIONS = 10, 3


def png(n: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(n).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def said(n: int) -> list[str]:
    return [f"a picture of {n} things", f"{n} things, seen {n} times", "things"][:CAPTIONS]


def pairs() -> list[tuple[int, str]]:
    """Image and caption, such that those of one image do not all follow each other."""
    rows = [(n, text) for n in range(IMAGES) for text in said(n)[:2]]
    return rows + [(n, said(n)[2]) for n in range(IMAGES)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for n in range(IMAGES):
        (tmp_path / f"images/{n}.png").write_bytes(png(n))
    return tmp_path


def dataset(folder, name: str, reader: str, columns: str, table: str):
    option = f"{{table: {table}}}"
    text = HEAD % (option, option)
    text += f'layout: {{reader: {reader}, columns: {columns}, images: "images/{{image}}"}}\n'
    (folder / f"{name}.yaml").write_text(text)
    return str(folder / f"{name}.yaml")


def as_lists(folder) -> str:
    rows = [{"image": f"{n}.png", "said": said(n)} for n in range(IMAGES)]
    (folder / "lists.json").write_text(json.dumps(rows))
    return dataset(folder, "d", "json_table", "{captions: said, image: image}", "lists.json")


def as_csv(folder) -> str:
    with (folder / "rows.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([("image", "said"), *((f"{n}.png", text) for n, text in pairs())])
    return dataset(folder, "d", "csv_table", "{captions: said, image: image}", "rows.csv")


def as_json_lines(folder) -> str:
    rows = [json.dumps({"image": f"{n}.png", "said": text}) for n, text in pairs()]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    return dataset(folder, "d", "json_table", "{captions: said, image: image}", "rows.jsonl")


def samples(path: str, folder, task: str, split: str = "train"):
    task = registry.load("tasks", task)()
    return task.load(task.dataset(path, folder), split)


def shown(sample):
    """All that a sample is, media as their pixels."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return value.array().tolist() if hasattr(value, "array") else value

    return (
        *(sample.id, sample.group, sample.category),
        *(plain(dict(sample.inputs)), plain(sample.target)),
    )


@pytest.mark.parametrize("task", ["captioning", "retrieval", "generation"])
@pytest.mark.parametrize("make", [as_csv, as_json_lines])
def test_rows_make_the_samples_that_lists_make(folder, task, make):
    for split in ("train", "validation", "test"):
        wanted = samples(as_lists(folder), folder, task, split)
        found = samples(make(folder), folder, task, split)
        assert list(map(shown, found)) == list(map(shown, wanted))
        assert found.fingerprint == wanted.fingerprint


@pytest.mark.whole
def test_the_scores_are_those_of_lists(folder):
    def scores(make, out):
        result = mmbench.run(
            *("captioning", "gated_fusion"),
            dataset=make(folder),
            data_dir=folder,
            train=True,
            overrides={"train.epochs": 1, "width": 16},
            out=folder / out,
        )
        return {entry.name: entry.value for entry in result.record.metrics}

    found = scores(as_csv, "rows")
    assert found == scores(as_lists, "lists")
    assert len(found) == 7


def test_an_image_stands_once_in_the_gallery(folder):
    found = samples(as_csv(folder), folder, "retrieval", "test")
    assert sum("image" in sample.inputs for sample in found) == IMAGES
    assert len({sample.group for sample in found}) == IMAGES


def test_copies_of_an_image_are_one(folder):
    path = as_csv(folder)
    shutil.copy(folder / "images/0.png", folder / "images/copy.png")
    with (folder / "rows.csv").open("a") as file:
        file.write("copy.png,a picture of nothing\n")
    found = samples(path, folder, "captioning", "test")
    assert len(found) == IMAGES
    assert found[0].target == [*said(0), "a picture of nothing"]


def test_rows_of_different_groups_stay_apart(folder):
    as_csv(folder)
    lines = (folder / "rows.csv").read_text().splitlines()
    grouped = [f"{line},{'group' if not n else n % 2}" for n, line in enumerate(lines)]
    (folder / "rows.csv").write_text("\n".join(grouped))
    columns = "{captions: said, image: image, group: group}"
    path = dataset(folder, "d", "csv_table", columns, "rows.csv")
    found = samples(path, folder, "captioning", "test")
    assert {sample.group for sample in found} == {"0", "1"}
    assert len(found) == 2 * IMAGES


def test_a_row_without_a_caption_is_named_and_its_image_is_kept(folder):
    path = as_csv(folder)
    text = (folder / "rows.csv").read_text().replace("a picture of 4 things", " ")
    (folder / "rows.csv").write_text(text)
    with pytest.raises(MMBenchError, match="1 of .* samples cannot be used: .*its caption is"):
        samples(path, folder, "captioning", "test")
    task = registry.load("tasks", "captioning")()
    found = task.load(task.dataset(path, folder, skip_bad=True), "test")
    assert len(found) == IMAGES
    assert [sample.target for sample in found][4] == said(4)[1:]


def test_a_missing_image_is_named_once_for_all_its_captions(folder):
    path = as_csv(folder)
    (folder / "images/3.png").unlink()
    task = registry.load("tasks", "captioning")()
    spec = task.dataset(path, folder, skip_bad=True)
    found = load_split(spec, "test", "captions")
    assert len(found.skipped) == 1
    assert (len(found.rows), found.merged) == (IMAGES - 1, (IMAGES - 1) * (CAPTIONS - 1))


def test_check_counts_rows_against_what_is_expected(folder, mmbench):
    path = as_csv(folder)
    with (folder / "d.yaml").open() as file:
        text = file.read().replace("test: {table", "test: {samples: 30, table")
    (folder / "d.yaml").write_text(text)
    done = mmbench("data", "check", path, "--data-dir", str(folder))
    assert done.returncode == 0, done.stdout
    assert "test: 10 samples, 10 images, 30 rows of a caption each" in done.stdout


@pytest.mark.parametrize("grouped", [True, False])
def test_rows_of_a_parquet_file_are_merged_by_group_or_content(folder, grouped, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "hf"))
    rows = [
        {"said": text, "image": {"bytes": png(n), "path": None}, "n": f"n{n}"}
        for n, text in pairs()
    ]
    features = datasets.Features(
        {"said": datasets.Value("string"), "image": datasets.Image(), "n": datasets.Value("string")}
    )
    (folder / "parquet").mkdir()
    table = datasets.Dataset.from_list(rows, features=features)
    table.to_parquet(folder / "parquet/train.parquet")
    table.to_parquet(folder / "parquet/test.parquet")
    columns = "{captions: said, image: image%s}" % (", group: n" if grouped else "")
    text = HEAD % ("{}", "{}")
    text += f"hub: {{path: {folder}/parquet, columns: {columns}, "
    path = str(folder / "d.yaml")
    wanted = samples(as_lists(folder), folder, "captioning", "test")
    (folder / "d.yaml").write_text(text + "splits: {train: train, test: test}}\n")
    found = samples(path, None, "captioning", "test")
    assert [sample.target for sample in found] == [sample.target for sample in wanted]
    assert [sample.id for sample in found] == [sample.id for sample in wanted]
    parts = [
        {
            sample.inputs["image"].array().tobytes()
            for sample in samples(path, None, "captioning", s)
        }
        for s in ("train", "validation")
    ]
    assert all(parts)
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == IMAGES
