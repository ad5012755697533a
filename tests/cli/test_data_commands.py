"""`mmbench data`, as a user runs it; what needs no process of its own, in this one."""

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.data.layouts import FOLDERS


@pytest.fixture
def clevr(tmp_path):
    FOLDERS["clevr"](tmp_path / "clevr")
    return tmp_path / "clevr"


def test_list_says_where_from_how_large_and_whose(mmbench):
    done = mmbench("data", "list")
    assert done.returncode == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    for part in ("captioning, retrieval", "6,000 train, 1,000 test", "hub or folder", "1.1 GB"):
        assert part in lines["flickr8k"]
    assert "package easy-vqa" in lines["easy_vqa"]
    assert lines["clevr"].split()[-3:] == ["CC", "BY", "4.0"]


def test_show_says_what_the_folder_must_hold(command):
    text = command("show", "clevr").stdout
    assert "questions/CLEVR_train_questions.json" in text
    assert "train: 699,989 samples" in text
    assert "validation: 2.0% of train" in text


def test_prepare_decodes_every_split_and_says_where_it_is(mmbench, clevr):
    done = mmbench("data", "prepare", "clevr", "--data-dir", "clevr", "--split", "val")
    assert done.returncode == 0, done.stderr
    assert "licence  CC BY 4.0" in done.stdout
    assert "size     18 GB" in done.stdout
    assert "val: 24 samples, 12 images" in done.stdout
    assert "train:" not in done.stdout
    path = done.stdout.split("MB decoded, ")[1].strip()
    assert path.endswith(".npy")
    again = mmbench("data", "prepare", "clevr", "--data-dir", "clevr", "--split", "val")
    assert again.stdout == done.stdout


def test_check_of_a_whole_dataset(command):
    done = command("data", "check", "easy_vqa")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "train: 34,647 samples, 3,592 images, fingerprint eeb219ef8d303965",
        "validation: 3,928 samples, 408 images, fingerprint 4bddbd8b0139acf0",
        "test: 9,673 samples, 1,000 images, fingerprint 4aa5adf0d5ab30eb",
        "test in train: 0 of 1,000 images, and nearly 0 more; "
        "0 of 9,673 samples with text and media",
        "easy_vqa is whole",
    ]


def test_check_names_what_is_missing_broken_or_too_few(command, clevr):
    (clevr / "questions/CLEVR_train_questions.json").unlink()
    (clevr / "images/val/CLEVR_val_000000.png").unlink()
    Image.new("RGB", (1, 1)).save(clevr / "images/val/CLEVR_val_000001.png")
    done = command("data", "check", "clevr", "--data-dir", "clevr")
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert lines[0].startswith("train: cannot read clevr/questions/CLEVR_train_questions.json")
    assert lines[2].startswith("val: 20 samples, 10 images, 4 skipped, fingerprint ")
    assert "000000.png cannot be read: No such file" in lines[3]
    assert "000001.png cannot be decoded: it is 1 x 1 pixels" in lines[4]
    assert lines[5] == "val: 149,991 samples expected, 20 found"
    assert done.stderr == "mmbench: clevr is not whole: 4 problems, said above\n"


def test_the_real_flickr8k_lacks_images(command, shared_data):
    folder = str(shared_data / "flickr8k")
    done = command("data", "check", "flickr8k", "--data-dir", folder)
    assert done.returncode == 2
    assert "test: 125 samples, 125 images, 875 skipped" in done.stdout
    assert "and 870 more" in done.stdout
    assert "test: 1,000 samples expected, 125 found" in done.stdout


def test_a_run_on_a_folder_skips_and_counts(command, clevr):
    (clevr / "images/val/CLEVR_val_000000.png").write_bytes(b"")
    arguments = ("run", "--task", "vqa", "--model", "majority", "--dataset", "clevr")
    arguments += ("--data-dir", "clevr", "--quiet")
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert (
        "clevr, split val, in clevr: 2 of 24 samples cannot be used: image images/val"
        in done.stderr
    )
    done = command(*arguments, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "val split: 22 samples" in done.stdout
    assert (
        "2 skipped in val: image images/val/CLEVR_val_000000.png cannot be decoded" in done.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("prepare", "flickr8"), "no dataset called 'flickr8'. Did you mean flickr8k?"),
        (("prepare", "clevr"), "clevr does not come with mmbench: name its folder with --data-dir"),
        (("prepare", "easy_vqa", "--split", "tset"), "no split 'tset'. Did you mean test?"),
        (("prepare", "clevr", "--data-dir", "none"), "there is no folder none to read clevr from"),
        (("check",), "Missing argument"),
        (("verify",), "No such command"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(command, arguments, says):
    done = command("data", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.startswith("mmbench: ")
    assert done.stderr.count("\n") == 1


def test_list_imports_nothing_heavy(tmp_path):
    import subprocess
    import sys

    from tests.conftest import environment

    code = (
        "import sys\nfrom mmbench.cli import main\nsys.argv[1:] = ['data', 'list']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = ('torch', 'datasets', 'pandas', 'numpy', 'PIL')\n"
        "print([m for m in heavy if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True
    )
    assert done.stderr.strip() == b"[]"


def test_the_documentation_lists_every_dataset_as_it_is():
    from mmbench.cli.data import markdown

    text = (ROOT / "docs" / "datasets.md").read_text()
    assert markdown() in text, "paste what `python -m mmbench.cli.data` prints"
