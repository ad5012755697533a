"""A data folder in which something is wrong: one clear line, or skipped and counted."""

import json
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from mmbench.data.checks import LONGEST_TEXT
from mmbench.data.readers.columns import row_of
from mmbench.data.splits import first_kind, load_split
from mmbench.errors import MMBenchError
from tests.conftest import command_line, environment, root_bound_by_rights
from tests.data.layouts import FOLDERS
from tests.data.test_bad_media import png_of
from tests.data.test_layouts import spec_of


@pytest.fixture
def flickr(tmp_path):
    FOLDERS["flickr8k"](tmp_path)
    return tmp_path


def load(folder: Path, split: str = "train", name: str = "flickr8k", **changes):
    spec = spec_of(name, folder, **changes)
    return load_split(spec, split, first_kind(spec, split))


def says(folder: Path, match: str, split: str = "train", name: str = "flickr8k") -> None:
    with pytest.raises(MMBenchError, match=match) as error:
        load(folder, split, name)
    assert "\n" not in str(error.value)


def caption(folder: Path, text: str) -> None:
    """The first image gets this caption."""
    path = folder / "Flickr8k.token.txt"
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{first.split(chr(9))[0]}\t{text}\n{rest}")


def break_first_image(folder: Path, how: str) -> None:
    path = folder / "Flicker8k_Dataset/0_ab.jpg"
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:400])
    elif how == "huge":
        path.write_bytes(png_of(20_000, 20_000))
    elif how == "one pixel":
        Image.new("RGB", (1, 1)).save(path)
    elif how == "long caption":
        caption(folder, "word " * 2000)
    elif how == "empty caption":
        caption(folder, " ")
    elif how == "a folder":
        path.unlink()
        path.mkdir()


BROKEN = {
    "missing": r"image Flicker8k_Dataset/0_ab\.jpg cannot be read: No such file or directory",
    "truncated": r"image Flicker8k_Dataset/0_ab\.jpg cannot be decoded: .*[Tt]runcated",
    "huge": r"image Flicker8k_Dataset/0_ab\.jpg cannot be decoded: it .*80,000,000 pixels",
    "one pixel": r"image Flicker8k_Dataset/0_ab\.jpg cannot be decoded: it is 1 x 1 pixels",
    "long caption": r"sample 0_ab\.jpg: its caption has 9,999 characters, more than 5,000",
    "empty caption": r"sample 0_ab\.jpg: its caption is '', not a text",
    "a folder": r"image Flicker8k_Dataset/0_ab\.jpg cannot be read: Is a directory",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_bad_sample_stops_before_training_or_is_skipped_and_counted(flickr, how):
    whole = load(flickr)
    break_first_image(flickr, how)
    says(flickr, rf"flickr8k, split train, in .*: 1 of 3 samples .*{BROKEN[how]}.*skip_bad=True")
    left = load(flickr, skip_bad=True)
    assert len(left.rows) == 2
    [reason] = left.skipped
    assert "0_ab.jpg" in reason
    assert left.rows["image"] == whole.rows["image"][1:]
    for row in left.rows:
        expected = whole.inputs(whole.rows[row["row"]])["image"].array()
        assert (left.inputs(row)["image"].array() == expected).all()


def test_the_first_few_reasons_are_told_and_how_many_there_are(flickr):
    for path in (flickr / "Flicker8k_Dataset").iterdir():
        path.unlink()
    names = [f"x{n}.jpg" for n in range(10)]
    (flickr / "Flickr_8k.trainImages.txt").write_text("\n".join(names))
    with (flickr / "Flickr8k.token.txt").open("a") as file:
        file.writelines(f"\n{name}#0\ta dog" for name in names)
    says(
        flickr, r"10 of 10 samples cannot be used: image .*x0.*; .*x1.*; .*x2.*; and 7 more\. skip"
    )


def test_nothing_is_left_when_all_are_skipped(flickr):
    (flickr / "Flicker8k_Dataset").rename(flickr / "elsewhere")
    with pytest.raises(
        MMBenchError, match="all 3 samples are skipped: image Flicker8k_Dataset/0_ab.jpg cannot"
    ):
        load(flickr, skip_bad=True)


def test_a_path_that_leaves_the_folder(flickr, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.jpg"
    Image.new("RGB", (8, 8)).save(outside)
    for name in (f"../../{outside.parent.name}/secret.jpg", str(outside)):
        (flickr / "Flickr_8k.trainImages.txt").write_text(f"{name}\n0_ab.jpg")
        with (flickr / "Flickr8k.token.txt").open("a") as file:
            file.write(f"\n{name}#0\ta dog")
        says(flickr, r"image .*secret\.jpg is outside of the data folder")
        assert len(load(flickr, skip_bad=True).rows) == 1


def test_a_linked_folder_of_images_is_followed(flickr, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("disk") / "images"
    (flickr / "Flicker8k_Dataset").rename(elsewhere)
    (flickr / "Flicker8k_Dataset").symlink_to(elsewhere)
    assert len(load(flickr).rows) == 3


def test_an_empty_split(flickr):
    (flickr / "Flickr_8k.testImages.txt").write_text("\n\n")
    says(flickr, "the split 'test' of flickr8k is empty", split="test")


def test_a_split_file_of_images_without_captions(flickr):
    (flickr / "Flickr_8k.testImages.txt").write_text("none.jpg\n")
    says(flickr, r"testImages\.txt names 1 images that .* has no captions of: none\.jpg", "test")


def test_a_missing_file(flickr):
    (flickr / "Flickr8k.token.txt").unlink()
    says(flickr, r"cannot read .*Flickr8k\.token\.txt: No such file or directory")


def test_no_folder(flickr):
    says(flickr / "nowhere", "there is no folder .*nowhere to read flickr8k from")
    with pytest.raises(MMBenchError, match="clevr does not come with mmbench: name its folder"):
        load(None, name="clevr")


def test_an_image_named_twice(flickr):
    (flickr / "Flickr_8k.trainImages.txt").write_text("0_ab.jpg\n0_ab.jpg\n")
    says(flickr, "sample 0_ab.jpg: another sample has this id")
    assert len(load(flickr, skip_bad=True).rows) == 1


OTHER_FILES = [
    ("vqav2", "v2_mscoco_val2014_annotations.json", "val2014", "not a file of VQA annotations"),
    ("vqav2", "v2_OpenEnded_mscoco_val2014_questions.json", "val2014", "not a file of VQA quest"),
    ("textvqa", "TextVQA_0.5.1_val.json", "val", "is not a table, with its rows at 'data'"),
    ("vizwiz", "Annotations/val.json", "val", "row 0 lacks the columns|not a table"),
    ("gqa", "testdev_balanced_questions.json", "testdev", "row 0 lacks the columns|not a table"),
    ("clevr", "questions/CLEVR_val_questions.json", "val", "not a table, with its rows at 'quest"),
    ("vqa_rad", "VQA_RAD Dataset Public.json", "test", "a row has no phrase_type|not a table"),
    (
        "vqa_rad_published",
        "VQA_RAD Dataset Public.json",
        "train",
        "a row has no phrase|not a table",
    ),
    ("scienceqa", "problems.json", "test", "not a file of ScienceQA's problems"),
    ("scienceqa", "pid_splits.json", "test", "not a file of ScienceQA's splits"),
    ("coco_karpathy", "dataset_coco.json", "test", "not a file of Karpathy's splits"),
    ("nocaps", "nocaps_val_4500_captions.json", "val", "not a file of COCO captions"),
    ("eccv_caption", "eccv_caption/eccv_image_to_caption.json", "test", "not a file of right item"),
    ("msrvtt", "test_videodatainfo.json", "test", "not a file of MSR-VTT"),
    ("clotho", "clotho_captions_evaluation.csv", "test", "row 0 lacks the columns"),
]


def test_columns_are_named_as_the_file_and_the_yaml_call_them():
    columns = {"text": "question", "target": "a", "image": 3}
    with pytest.raises(
        MMBenchError, match=r"the columns question \(text\); it has q, a, 3"
    ) as error:
        row_of({"$row": 7, "q": "what", "a": "yes", 3: "x.png"}, columns, "train.csv", 7)
    assert "target" not in str(error.value)
    with pytest.raises(MMBenchError, match=r"3 \(image\); it has 3 values"):
        row_of(["what", "yes", "x.png"], columns | {"text": 0, "target": 1}, "train.csv", 7)


@pytest.mark.parametrize(("name", "file", "split", "match"), OTHER_FILES)
@pytest.mark.parametrize("value", ['{"version": 3, "items": []}', "[[1, 2], [3, 4]]", "7"])
def test_a_file_of_another_version(tmp_path, name, file, split, match, value):
    FOLDERS[name](tmp_path)
    (tmp_path / file).write_text(value if file.endswith("json") else "file,text\na.wav,hello\n")
    says(tmp_path, match, split, name)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[1, 2"])
def test_a_file_that_is_no_json(tmp_path, content):
    FOLDERS["coco_karpathy"](tmp_path)
    (tmp_path / "dataset_coco.json").write_bytes(content)
    says(tmp_path, r"dataset_coco\.json is not (JSON|UTF-8)", "test", "coco_karpathy")


def test_questions_and_annotations_of_two_versions(tmp_path):
    FOLDERS["vqav2"](tmp_path)
    path = tmp_path / "v2_mscoco_val2014_annotations.json"
    value = json.loads(path.read_text())
    value["annotations"][0]["question_id"] += 1_000_000
    path.write_text(json.dumps(value))
    says(tmp_path, "do not belong together: 1 questions have no annotation", "val2014", "vqav2")


def test_a_csv_row_of_another_length(tmp_path):
    FOLDERS["clotho"](tmp_path)
    with (tmp_path / "clotho_captions_evaluation.csv").open("a") as file:
        file.write("a.wav,only one\n")
    says(tmp_path, "row 2 has 2 values where the columns are file_name", "test", "clotho")


def test_shards_that_are_none(tmp_path):
    FOLDERS["laion"](tmp_path)
    whole = (tmp_path / "00001.tar").read_bytes()
    (tmp_path / "00001.tar").write_bytes(whole[: len(whole) // 2 + 100])
    says(tmp_path, r"00001\.tar is not a tar archive that can be read", name="laion")
    with zipfile.ZipFile(tmp_path / "00001.tar", "w") as archive:
        archive.writestr("a", "b")
    says(tmp_path, r"00001\.tar is not a tar archive", name="laion")
    for path in tmp_path.iterdir():
        path.unlink()
    says(tmp_path, r"holds no shards \*\.tar", name="laion")


def test_a_question_too_long_and_one_without_answer(tmp_path):
    FOLDERS["clevr"](tmp_path)
    path = tmp_path / "questions/CLEVR_val_questions.json"
    value = json.loads(path.read_text())
    value["questions"][0]["question"] = "x" * (LONGEST_TEXT + 1)
    value["questions"][1]["answer"] = None
    path.write_text(json.dumps(value))
    says(tmp_path, "2 of 24 samples .*its question has 5,001 char.*it has no ans", "val", "clevr")
    assert len(load(tmp_path, "val", "clevr", skip_bad=True).skipped) == 2


def test_an_image_of_several_questions_counts_each(tmp_path):
    FOLDERS["clevr"](tmp_path)
    (tmp_path / "images/val/CLEVR_val_000003.png").write_bytes(b"")
    loaded = load(tmp_path, "val", "clevr", skip_bad=True)
    assert len(loaded.rows) == 22
    assert len(loaded.skipped) == 2
    assert len(set(loaded.skipped)) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"answer": -1}, "its answer is -1, not the place of one of its 3 choices"),
        ({"answer": 9}, "its answer is 9, not the place"),
        ({"choices": ["a", None, "b"]}, "one of its choices is None|its answer|has no answer"),
        ({"question": None}, "it has no question"),
    ],
)
def test_problems_of_scienceqa_without_a_right_choice(tmp_path, change, says):
    FOLDERS["scienceqa"](tmp_path)
    path = tmp_path / "problems.json"
    value = json.loads(path.read_text())
    value["31"] |= change
    path.write_text(json.dumps(value))
    says_one = f"1 of 4 samples cannot be used: sample 31: .*({says})"
    with pytest.raises(MMBenchError, match=says_one):
        load(tmp_path, "test", "scienceqa")


@pytest.mark.parametrize("value", [None, float("nan"), "", 5])
def test_words_of_a_video_that_are_none(tmp_path, value):
    pytest.importorskip("av")
    FOLDERS["howto100m"](tmp_path)
    whole = {
        f"-v{n}": {"start": [0.0], "end": [0.9], "text": [value if n == 1 else "flour"]}
        for n in range(60)
    }
    (tmp_path / "caption.json").write_text(json.dumps(whole))
    spec = spec_of("howto100m", tmp_path)
    layout = type(spec.layout)(reader="howto100m", captions="caption.json")
    spec = spec.model_copy(update={"layout": layout, "skip_bad": True})
    skipped = [load_split(spec, split, "captions").skipped for split in spec.splits]
    assert sum(map(len, skipped)) == 1


WHERE = ["", "Flicker8k_Dataset", "Flicker8k_Dataset/0_ab.jpg", "Flickr8k.token.txt"]


@pytest.mark.parametrize("where", WHERE)
def test_what_may_not_be_read_is_named(flickr, where):
    bound = root_bound_by_rights()
    path = flickr / where
    rights = path.stat().st_mode
    path.chmod(0)
    done = subprocess.run(
        [*bound, *command_line("data", "check", "flickr8k", "--data-dir", str(flickr))],
        env=environment(),
        capture_output=True,
        text=True,
    )
    path.chmod(rights)
    assert done.returncode == 2
    said = done.stdout if where else done.stderr
    assert re.search("Permission denied|not readable", said)
    assert (where or str(flickr)) in said
    assert done.stderr.count("\n") == 1
