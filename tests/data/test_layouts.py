"""Every standard dataset, read from a small folder in its official layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench import registry
from mmbench.data.dataset import DatasetSpec, Split, load_spec, tasks_of
from mmbench.data.splits import LoadedSplit, first_kind, load_split
from mmbench.errors import MMBenchError
from tests.data.layouts import FOLDERS, SAYS

NAMES = [name for name in registry.names("datasets") if load_spec(name, tasks_of(name)[0]).folder]


def spec_of(name: str, folder: Path, **changes) -> DatasetSpec:
    """The dataset in its folder, with more held out, since there is so little of it."""
    spec = load_spec(name, tasks_of(name)[0])
    splits = {
        key: Split(of=split.of, hold_out=0.3) if split.of else split
        for key, split in spec.splits.items()
    }
    changes = {"data_dir": folder, "splits": splits, "image_size": 16} | changes
    return spec.model_copy(update=changes)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        if name == "howto100m":
            pytest.importorskip("av")
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            FOLDERS[name](made[name])
        return made[name]

    return folder_of


@pytest.fixture
def load(folders):
    def split_of(name: str, split: str, **changes) -> LoadedSplit:
        spec = spec_of(name, folders(name), **changes)
        return load_split(spec, split, first_kind(spec, split))

    return split_of


def test_every_dataset_of_a_folder_is_tried_here():
    assert set(NAMES) == set(FOLDERS)


@pytest.mark.parametrize("name", NAMES)
def test_every_split_is_read(name, folders):
    spec = spec_of(name, folders(name))
    groups = {}
    for split in spec.splits:
        kind = first_kind(spec, split)
        loaded = load_split(spec, split, kind)
        assert not loaded.skipped
        assert list(loaded.media) == spec.modalities
        for row in loaded.rows:
            assert loaded.inputs(row)[spec.modalities[0]].array().any()
            if kind == "questions":
                assert isinstance(row["text"], str)
                assert row["target"]
            else:
                assert all(isinstance(text, str) for text in row["captions"])
        ids = [row.get("id", row["row"]) for row in loaded.rows]
        assert len(set(ids)) == len(ids) > 0
        groups[split] = {row["group"] for row in loaded.rows}
        again = load_split(spec, split, kind)
        assert again.fingerprint == loaded.fingerprint
    for split, settings in spec.splits.items():
        if settings.of:
            assert not groups[split] & groups[settings.of]


def test_the_digits_of_a_fingerprint_do_not_depend_on_where_the_folder_is(folders, tmp_path):
    FOLDERS["flickr8k"](tmp_path)
    one, two = (spec_of("flickr8k", f) for f in (folders("flickr8k"), tmp_path))
    assert (
        load_split(one, "test", "captions").fingerprint
        == load_split(two, "test", "captions").fingerprint
    )


def test_vqa_joins_questions_with_their_ten_answers(load):
    loaded = load("vqav2", "val2014")
    assert len(loaded.rows) == 6
    row = loaded.rows[1]
    assert row["id"] == "20001"
    assert row["text"] == "Is it 1?"
    assert row["target"] == ["yes"] * 7 + ["no"] * 3
    assert row["category"] == "yes/no"
    assert row["group"] == "20"
    assert len(loaded.media["image"]) == 3


def test_images_are_those_of_the_files(load, folders):
    loaded = load("vqav2", "val2014")
    path = folders("vqav2") / "val2014/COCO_val2014_000000000021.jpg"
    row = next(row for row in loaded.rows if row["group"] == "21")
    expected = Image.open(path).convert("RGB").resize((16, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(loaded.inputs(row)["image"].array(), np.asarray(expected))


def test_textvqa_keeps_all_annotators(load):
    row = load("textvqa", "val").rows[0]
    assert row["target"] == ["nokia"] * 6 + ["NOKIA"] * 4
    assert row["id"] == "20"


def test_vizwiz_takes_the_answers_out_of_their_records(load):
    row = load("vizwiz", "val").rows[0]
    assert row["target"] == ["unanswerable"] * 7 + ["maybe"] * 3
    assert row["category"] == "unanswerable"


def test_gqa_is_an_object_by_question(load):
    row = load("gqa", "testdev").rows[0]
    assert (row["id"], row["target"], row["category"]) == ("020", "yes", "verify")


def test_vqa_rad_splits_by_phrase_type_and_folds_case(load):
    test = load("vqa_rad", "test").rows.to_list()
    assert [(r["target"], r["category"]) for r in test] == [("yes", "closed"), ("3", "open")]
    rest = {row["id"] for split in ("train", "validation") for row in load("vqa_rad", split).rows}
    assert rest == {str(n) for n in range(12)}


def test_vqa_rad_as_published_trains_on_framed_questions_of_test_too(load):
    splits = [load("vqa_rad_published", split).rows.to_list() for split in ("train", "validation")]
    text_of = {row["id"]: row["text"] for rows in splits for row in rows}
    framed = {name: text for name, text in text_of.items() if text == "Is/are there a mass?"}
    assert set(framed) == {f"{n}/framed" for n in (0, 4, 8, 12)}  # 12 is of test
    assert set(text_of) - set(framed) == {str(n) for n in range(12)}
    tested = load("vqa_rad_published", "test").rows.to_list()
    assert [row["id"] for row in tested] == ["12", "13"]


def test_scienceqa_has_the_questions_with_an_image_and_their_choices(load):
    rows = load("scienceqa", "train").rows.to_list()
    assert [row["id"] for row in rows] == ["1", "2", "4", "5"]
    assert rows[0]["choices"] == ["the cat", "the dog", "number 1"]
    assert [row["target"] for row in rows[:2]] == ["the dog", "the cat"]


def test_karpathys_restval_is_trained_on(load):
    train = load("coco_karpathy", "train").rows.to_list()
    assert len(train) == 7
    assert train[-1]["image"].startswith("COCO_val2014")
    assert train[0]["captions"] == SAYS
    assert train[0]["id"] == "100"
    assert len(load("flickr30k", "validation").rows) == 2


def test_nocaps_is_broken_down_by_domain(load):
    rows = load("nocaps", "val").rows.to_list()
    assert {row["category"] for row in rows} == {"near-domain"}
    assert rows[0]["captions"] == SAYS


def test_coco_30k_draws_images_and_one_caption_each_the_same_way_everywhere(folders, load):
    spec = spec_of("coco_30k", folders("coco_30k"))
    fewer = spec.splits["test"].model_copy(update={"draw": 2})
    rows = load("coco_30k", "test", splits=spec.splits | {"test": fewer}).rows.to_list()
    assert [row["id"] for row in rows] == ["102", "101"]
    assert [row["caption_ids"] for row in rows] == [[1022], [1010]]
    assert [row["captions"] for row in rows] == [[SAYS[2]], [SAYS[0]]]


def test_eccv_caption_has_the_right_items_of_what_is_asked(load):
    rows = load("eccv_caption", "test").rows.to_list()
    assert [row["id"] for row in rows] == ["200", "201", "203"]
    assert [row["right_captions"] for row in rows] == [[], [2010, 2031], []]
    assert rows[2]["caption_ids"][1] == 2031
    assert rows[2]["right_images"] == [[], [203, 201], [], [], []]


def test_conceptual_captions_are_numbered_by_line_with_or_without_a_header(load, folders):
    rows = load("conceptual_captions", "val").rows.to_list()
    assert rows[2]["captions"] == ['a "person 2 on stage']
    table = folders("conceptual_captions") / "Validation_GCC-1.1.0-Validation.tsv"
    before = table.read_text()
    try:
        table.write_text("caption\turl\n" + before)
        assert load("conceptual_captions", "val").rows.to_list() == rows
    finally:
        table.write_text(before)


def test_clothos_sounds_are_resampled_and_padded(load):
    loaded = load("clotho", "test")
    assert loaded.rows[0]["captions"][0] == "a dog runs ., loudly"
    sound = loaded.media["audio"].values
    assert sound.shape == (2, 480_000)
    assert sound.dtype == np.int16
    assert np.abs(sound[0, :8000]).max() > 19_000
    assert not sound[0, 8001:].any()
    rises = (np.diff((sound[1, 4000:20_000] > 0).astype(int)) > 0).sum()
    assert rises == pytest.approx(440, abs=1)


def test_msrvtt_reads_folders_of_frames_and_the_1k_test(load):
    loaded = load("msrvtt", "train", frames=3)
    assert loaded.media["video"].values.shape == (2, 3, 16, 16, 3)
    assert loaded.rows[0]["captions"] == SAYS
    rows = load("msrvtt", "test_1k_a").rows.to_list()
    assert [(row["id"], row["captions"]) for row in rows] == [("video7011", ["a dog, one of them"])]


def test_howto100ms_clips_are_cut_out_of_their_video(load):
    loaded = load("howto100m", "train", frames=2)
    row = loaded.rows[1]
    assert row["captions"] == ["into the bowl"]
    shades = loaded.inputs(row)["video"].array().mean((1, 2, 3)) / 20
    assert shades == pytest.approx([5, 7], abs=0.6)  # at 0.525 s and 0.775 s


def test_howto100ms_captions_may_be_in_one_file(folders, load):
    folder = folders("howto100m")
    names = [path.stem for path in sorted((folder / "captions").iterdir())]
    value = {n: {"start": [0.1], "end": [0.8], "text": ["stir"]} for n in names}
    (folder / "caption.json").write_text(json.dumps(value))
    layout = load_spec("howto100m", "retrieval").layout.model_copy(
        update={"captions": "caption.json"}
    )
    assert {r["captions"][0] for r in load("howto100m", "train", layout=layout).rows} == {"stir"}


def test_shards_are_read_in_order_without_what_failed_to_download(load):
    spec_layout = load_spec("laion", "retrieval").layout
    rows = load("laion", "train").rows.to_list() + load("laion", "validation").rows.to_list()
    assert len(rows) == 3 * 59
    ids = sorted(row["id"] for row in rows)
    assert ids[:2] == ["00000/000000000", "00000/000000002"]
    few = load("laion", "train", layout=spec_layout.model_copy(update={"most": 70}))
    assert {row["id"][:5] for row in few.rows} <= {"00000", "00001"}
    row = few.rows[0]
    number = int(row["id"][-4:])
    assert row["captions"] == [f"shop sign {number}"]
    pixel = few.inputs(row)["image"].array()[8, 8].astype(int)
    assert pixel.tolist() == pytest.approx([int(row["id"][:5]), number, 200], abs=4)


def test_a_table_of_another_kind_is_refused(folders):
    spec = spec_of("clotho", folders("clotho"))
    with pytest.raises(MMBenchError, match="a table of questions needs the column text"):
        load_split(spec, "test", "questions")
    spec = spec_of("vqav2", folders("vqav2"))
    with pytest.raises(MMBenchError, match="holds questions, which the task vqa cannot use"):
        load_split(spec, "train", "captions")
