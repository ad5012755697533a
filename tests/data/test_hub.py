"""Datasets as the hub has them, through folders in the hub's own layouts."""

import io
import json
import os
import subprocess
import sys
import tarfile

import pytest
from PIL import Image

from mmbench.data.cache import cache_folder
from mmbench.data.dataset import DatasetSpec, load_spec
from mmbench.data.splits import load_split
from mmbench.errors import MMBenchError
from tests.conftest import root_bound_by_rights
from tests.data.layouts import image, ten, wave

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))


def picture(n: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (n, 0, 0))


@pytest.fixture
def parquet(tmp_path):
    """Six questions, two an image, in Parquet files by split, as most repositories have them."""
    root = tmp_path / "parquet"
    root.mkdir()
    rows = [
        {"question_id": n, "image_id": n // 2, "question": f"Is it {n}?", "answers": ten("yes")}
        | {"image": picture(n // 2), "part": "val" if n > 3 else "train"}
        for n in range(6)
    ]
    for split in ("train", "test"):
        datasets.Dataset.from_list(rows).to_parquet(root / f"{split}-00000-of-00001.parquet")
    return root


COLUMNS = {
    "id": "question_id",
    "text": "question",
    "target": "answers.answer",
    "image": "image",
    "group": "image_id",
}


def spec_of(hub: dict, **changes) -> DatasetSpec:
    settings = {
        "name": "mine",
        "task": "vqa",
        "summary": "mine",
        "homepage": "here",
        "licence": "MIT",
        "citation": "me",
        "hub": hub,
        "splits": {"test": {}},
        "image_size": 8,
    }
    return DatasetSpec.model_validate(settings | changes)


def hub_of(path, **changes) -> dict:
    return {"path": str(path), "columns": COLUMNS, "splits": {"test": "test"}} | changes


def test_a_plain_table_is_a_yaml_file_and_nothing_more(parquet):
    loaded = load_split(spec_of(hub_of(parquet)), "test", "questions")
    assert len(loaded.rows) == 6
    assert loaded.rows[5]["id"] == "5"
    assert loaded.rows[5]["text"] == "Is it 5?"
    assert loaded.rows[5]["target"] == ["yes"] * 7 + ["maybe"] * 3
    assert len(loaded.media["image"]) == 3  # of six: those of one group are stored once
    assert loaded.inputs(loaded.rows[5])["image"].array()[0, 0].tolist() == [2, 0, 0]


def test_rows_of_a_split_are_chosen_by_a_column(parquet):
    splits = {"test": {"split": "train", "where": {"part": "val"}}}
    loaded = load_split(spec_of(hub_of(parquet, splits=splits)), "test", "questions")
    assert loaded.rows["id"] == ["4", "5"]


def test_a_split_may_come_from_another_repository(parquet, tmp_path):
    splits = {"test": {"path": str(parquet), "split": "test", "columns": COLUMNS}}
    hub = hub_of(tmp_path / "none", columns={"captions": "x"}, splits=splits)
    assert len(load_split(spec_of(hub), "test", "questions").rows) == 6


def test_streaming_keeps_the_first_rows(parquet, monkeypatch):
    spec = spec_of(hub_of(parquet, streaming=True, take=3))
    loaded = load_split(spec, "test", "questions")
    assert loaded.rows["id"] == ["0", "1", "2"]
    assert loaded.inputs(loaded.rows[2])["image"].array()[0, 0].tolist() == [1, 0, 0]
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("fetched again"))
    assert load_split(spec, "test", "questions").fingerprint == loaded.fingerprint


def test_a_folder_of_images_with_their_metadata(tmp_path):
    root = tmp_path / "folder" / "test"
    rows = []
    for n in range(3):
        image(root / f"{n}.jpg", n)
        rows.append({"file_name": f"{n}.jpg", "first": f"a dog {n}", "second": "a cat"})
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    hub = hub_of(root.parent, columns={"captions": ["first", "second"], "image": "image"})
    loaded = load_split(spec_of(hub, task="captioning"), "test", "captions")
    assert loaded.rows[1]["captions"] == ["a dog 1", "a cat"]
    assert len(loaded.media["image"]) == 3


def test_conceptual_captions_as_shards(tmp_path):
    spec = load_spec("conceptual_captions", "captioning")
    for name in ("train", "validation"):
        with tarfile.open(tmp_path / f"cc3m-{name}-0000.tar", "w") as tar:
            for n in range(4):
                encoded = io.BytesIO()
                picture(40 * n).save(encoded, "jpeg")
                members = {"jpg": encoded.getvalue(), "txt": f"cat {n}".encode(), "json": b"{}"}
                for suffix, content in members.items():
                    info = tarfile.TarInfo(f"{n:09d}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    hub = spec.hub.model_copy(update={"path": str(tmp_path)})
    loaded = load_split(spec.model_copy(update={"hub": hub, "image_size": 8}), "val", "captions")
    assert loaded.rows["captions"] == [[f"cat {n}"] for n in range(4)]
    assert loaded.rows["id"] == [f"{n:09d}" for n in range(4)]


def test_clotho_as_a_table_of_encoded_sounds(tmp_path):
    spec = load_spec("clotho", "captioning")
    rows = []
    for n in range(2):
        wave(tmp_path / "made.wav", 0.1 * (n + 1))
        sound = {"bytes": (tmp_path / "made.wav").read_bytes(), "path": f"{n}.wav"}
        rows.append({"raw_text": [f"a bell {n}", "ringing"], "audio": sound})
    copy = tmp_path / "copy"
    (copy / "data").mkdir(parents=True)
    datasets.Dataset.from_list(rows).to_parquet(copy / "data" / "test-00000-of-00001.parquet")
    (copy / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - {name: raw_text, sequence: string}\n"
        "  - {name: audio, dtype: audio}\n"
        "configs:\n- {config_name: default, data_files: [{split: test, path: data/test-*}]}\n---\n"
    )
    hub = spec.hub.model_copy(update={"path": str(copy)})
    loaded = load_split(spec.model_copy(update={"hub": hub, "seconds": 0.2}), "test", "captions")
    assert loaded.rows["captions"] == [["a bell 0", "ringing"], ["a bell 1", "ringing"]]
    assert loaded.media["audio"].values.shape == (2, 3200)
    assert [bool(row[-100:].any()) for row in loaded.media["audio"].values] == [False, True]


def test_media_apart_from_the_rows_are_joined(tmp_path):
    """As in the copy of GQA."""
    questions = [{"q": f"Is it {n}?", "a": "no", "imageId": f"n{n % 2}"} for n in range(4)]
    pictures = [{"id": f"n{n}", "image": picture(10 * n)} for n in range(3)]
    for name, rows in (("asked", questions), ("shown", pictures)):
        (tmp_path / name).mkdir()
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / name / "test.parquet")
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n"
        "- {config_name: asked, data_files: [{split: test, path: asked/test.parquet}]}\n"
        "- {config_name: shown, data_files: [{split: test, path: shown/test.parquet}]}\n---\n"
    )
    media = {"name": "shown", "split": "test", "key": "id", "column": "image"}
    hub = hub_of(
        tmp_path,
        columns={"text": "q", "target": "a", "image": "imageId"},
        splits={"test": {"name": "asked", "split": "test", "media": media}},
    )
    loaded = load_split(spec_of(hub), "test", "questions")
    assert len(loaded.media["image"]) == 2
    assert loaded.inputs(loaded.rows[3])["image"].array()[0, 0].tolist() == [10, 0, 0]
    assert loaded.rows["group"] == ["n0", "n1", "n0", "n1"]


def test_a_row_without_its_image_is_skipped_or_told(tmp_path):
    rows = [{"q": "Is it?", "a": "no", "image": picture(1)}, {"q": "It?", "a": "no", "image": None}]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "test.parquet")
    spec = spec_of(hub_of(tmp_path, columns={"text": "q", "target": "a", "image": "image"}))
    with pytest.raises(MMBenchError, match="column image of row 1 cannot be read: there is none"):
        load_split(spec, "test", "questions")
    loaded = load_split(spec.model_copy(update={"skip_bad": True}), "test", "questions")
    assert loaded.rows["text"] == ["Is it?"]


@pytest.fixture
def named(tmp_path):
    """Two questions about images that the rows name; the second row's path is a relative one."""
    root = tmp_path / "named"
    (root / "images").mkdir(parents=True)
    rows = []
    for n in range(2):
        picture(n).save(root / f"images/{n}.png")
        os.utime(root / f"images/{n}.png", (1, 1))
        path = f"images/{n}.png" if n else str(root / f"images/{n}.png")
        rows.append({"q": f"Is it {n}?", "a": "no", "image": {"bytes": None, "path": path}})
    texts = datasets.Value("string")
    features = datasets.Features({"q": texts, "a": texts, "image": datasets.Image()})
    made = datasets.Dataset.from_list(rows, features=features)
    made.to_parquet(root / "test.parquet", batch_size=1)
    columns = {"text": "q", "target": "a", "image": "image"}
    return root, spec_of(hub_of(root, columns=columns))


def test_a_changed_image_that_a_row_names_changes_the_fingerprint(named):
    root, spec = named
    before = load_split(spec, "test", "questions")
    assert before.media["image"].values[:, 0, 0, 0].tolist() == [0, 1]
    assert load_split(spec, "test", "questions").fingerprint == before.fingerprint
    for n in range(2):
        before = load_split(spec, "test", "questions")
        picture(9).save(root / f"images/{n}.png")
        os.utime(root / f"images/{n}.png", (2, 2))
        after = load_split(spec, "test", "questions")
        assert after.media["image"].values[n, 0, 0, 0] == 9
        assert after.fingerprint != before.fingerprint


def test_an_image_that_a_row_names_may_be_absent_for_a_while(named):
    root, spec = named
    before = load_split(spec, "test", "questions")
    (root / "images/1.png").rename(root / "elsewhere.png")
    with pytest.raises(MMBenchError, match=r"images/1\.png cannot be read: No such file"):
        load_split(spec, "test", "questions")
    assert (
        len(load_split(spec.model_copy(update={"skip_bad": True}), "test", "questions").rows) == 1
    )
    (root / "elsewhere.png").rename(root / "images/1.png")
    assert load_split(spec, "test", "questions").fingerprint == before.fingerprint


@pytest.mark.parametrize("how", ["truncated", "empty", "zeros", "a folder"])
def test_a_damaged_stream_is_fetched_anew_with_one_line(
    parquet, how, caplog, tmp_path, monkeypatch
):
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    spec = spec_of(hub_of(parquet, streaming=True, take=3))
    before = load_split(spec, "test", "questions")
    [kept] = (cache_folder() / "hub").iterdir()
    content = kept.read_bytes()
    kept.unlink()
    if how == "a folder":
        kept.mkdir()
    else:
        half = content[: len(content) // 2]
        damaged = {"truncated": half, "empty": b"", "zeros": half.ljust(len(content), b"\0")}
        kept.write_bytes(damaged[how])
    assert load_split(spec, "test", "questions").fingerprint == before.fingerprint
    [line] = caplog.messages
    assert str(kept) in line


@pytest.mark.parametrize("size", [0, 2000])
def test_the_damaged_cache_of_datasets_itself_is_made_anew_with_one_line(
    parquet, size, caplog, tmp_path
):
    before = load_split(spec_of(hub_of(parquet)), "test", "questions")
    [kept] = (tmp_path / "hf").rglob("*test*.arrow")
    content = kept.read_bytes()[:size]
    kept.unlink()
    kept.write_bytes(content)
    after = load_split(spec_of(hub_of(parquet)), "test", "questions")
    assert after.fingerprint == before.fingerprint
    lines = [message for message in caplog.messages if "made anew" in message]
    assert len(lines) == 1
    assert str(tmp_path / "hf") in lines[0]


def test_a_folder_that_cannot_be_read_is_named(parquet):
    (parquet / "more").mkdir()
    (parquet / "more" / "test-1.parquet").write_bytes(b"")
    bound = root_bound_by_rights()
    (parquet / "more").chmod(0)
    code = (
        "from pathlib import Path; from mmbench.data.checks import files_below\n"
        "from mmbench.errors import MMBenchError\n"
        f"try: files_below(Path({str(parquet)!r}))\n"
        "except MMBenchError as error: print(error)"
    )
    done = subprocess.run([*bound, sys.executable, "-c", code], capture_output=True, text=True)
    (parquet / "more").chmod(0o755)
    assert done.stdout == f"cannot read the folder {parquet}/more: Permission denied\n"


def test_a_choice_by_its_place(tmp_path):
    rows = [{"q": "Which?", "choices": ["cat", "dog"], "a": 1, "image": picture(1)}]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "test.parquet")
    columns = {"text": "q", "target": "a", "choices": "choices", "image": "image"}
    loaded = load_split(spec_of(hub_of(tmp_path, columns=columns)), "test", "questions")
    assert loaded.rows[0]["target"] == "dog"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"columns": COLUMNS | {"text": "questoin"}}, "no column 'questoin'. Did you mean quest"),
        ({"columns": COLUMNS | {"image": "question"}}, "the column question of .* holds no media"),
        ({"columns": {"captions": "question"}}, "a table of questions needs the column text"),
        ({"splits": {"test": "tset"}}, "mine cannot be read from .*: Unknown split"),
        ({"splits": {}}, "the hub has no split 'test' of mine"),
    ],
)
def test_a_table_of_other_columns_or_splits(parquet, change, says):
    with pytest.raises(MMBenchError, match=says) as error:
        load_split(spec_of(hub_of(parquet, **change)), "test", "questions")
    assert "\n" not in str(error.value)


def test_code_beside_the_data_is_not_run(tmp_path):
    marker = tmp_path / "ran"
    root = tmp_path / "scripted"
    root.mkdir()
    (root / "scripted.py").write_text(f"open({str(marker)!r}, 'w')\n")
    with pytest.raises(MMBenchError, match="mine cannot be read from"):
        load_split(spec_of(hub_of(root)), "test", "questions")
    assert not marker.exists()


def test_without_network_there_is_one_clear_line(mmbench, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = mmbench("run", "--task", "vqa", "--model", "majority", "--dataset", "textvqa")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "textvqa cannot be had from the hub (lmms-lab/textvqa): Couldn't reach" in done.stderr
    assert "name its folder with --data-dir" in done.stderr


def test_a_split_that_the_hub_lacks_says_so():
    spec = load_spec("vizwiz", "vqa")
    with pytest.raises(MMBenchError, match="the hub has no split 'train' of vizwiz: it has val"):
        load_split(spec, "train", "questions")


def test_samples_are_grouped_by_the_content_of_their_medium_where_it_has_no_name(parquet):
    columns = COLUMNS | {"group": "image"}
    loaded = load_split(spec_of(hub_of(parquet, columns=columns)), "test", "questions")
    by_name = load_split(spec_of(hub_of(parquet)), "test", "questions")
    for each in (loaded, by_name):
        places = [row["group"] for row in each.rows]
        assert [places.index(group) for group in places] == [0, 0, 2, 2, 4, 4]
        assert len(each.media["image"]) == 3
    assert loaded.media["image"].digest == by_name.media["image"].digest
