"""What a page holds: every answer and score, media once each, and no text that could act."""

import dataclasses
import io
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

import mmbench
from mmbench.cli.commands import run_command
from mmbench.errors import MMBenchError
from mmbench.experiments.rescore import samples_asked
from mmbench.experiments.result import load_run
from mmbench.reports.page.media import shown, wav
from mmbench.reports.page.page import make_page
from mmbench.reports.report import make_report
from mmbench_tasks.retrieval.task import Retrieval
from tests.nasty import NASTY, assert_harmless
from tests.reports.page.conftest import runs_of
from tests.reports.page.reading import decoded, image, sets_of


@pytest.fixture(scope="module")
def easy(easy_page):
    [(data, files)] = sets_of(easy_page.read_text())
    return data, files


def test_every_answer_and_score_is_in_the_page(easy, easy_runs):
    data, _ = easy
    assert data["total"] == len(data["ids"]) == 9673
    assert sorted(data["models"]) == ["concat_fusion", "majority", "question_only"]
    assert len(data["runs"]) == 4
    for run in easy_runs:
        table = run.predictions()
        model = data["models"].index(run.record.model)
        found = next(
            r for r in data["runs"] if r["model"] == model and r["seed"] == run.record.seed
        )
        assert decoded(found["answers"]) == table["prediction"].tolist()
        assert decoded(found["scores"][0]) == table["accuracy"].tolist()
    assert [c["name"] for c in data["columns"]] == ["question", "target"]
    assert decoded(data["columns"][0]) == [[text] for text in table["text"]]
    assert decoded(data["columns"][1]) == [[target] for target in table["target"]]
    assert decoded(data["categories"]) == table["category"].tolist()


def test_an_image_with_ten_questions_is_there_once_and_small(easy):
    data, files = easy
    [media] = data["media"]
    assert len(media["codes"]) == 9673
    assert len(files) == len(set(media["codes"])) == 1000
    assert max(image(files[0]).size) <= 96
    assert image(files[0]).format == "WEBP"


def test_a_page_is_ascii_loads_nothing_and_allows_nothing_else(easy_page):
    html = unescape(easy_page.read_bytes().decode("ascii"))
    assert "default-src 'none'" in html
    assert 'src="http' not in html
    assert "@import" not in html
    assert len(html) < 2_000_000


def test_the_same_records_give_the_same_page(easy_runs, easy_page):
    assert make_page(easy_runs).html == easy_page.read_text()


def test_of_more_samples_than_asked_for_the_same_ones_are_drawn():
    runs = runs_of("vqa/vqa_rad", "majority")
    one, two = (make_page(runs, samples=50).html for _ in range(2))
    assert one == two
    [(data, _)] = sets_of(one)
    assert data["total"] == 451
    assert len(data["ids"]) == 50
    table = runs[0].predictions().set_index("id")
    assert decoded(data["runs"][0]["answers"]) == table.loc[data["ids"], "prediction"].tolist()
    texts = [" ".join(text.split()) for text in table.loc[data["ids"], "text"]]
    assert decoded(data["columns"][0]) == [[text] for text in texts]


def test_without_its_folder_a_dataset_has_texts_only_and_says_so(tmp_path):
    page = make_page(runs_of("vqa/vqa_rad", "majority"), samples=20)
    [(data, files)] = sets_of(page.html)
    assert files == []
    assert "name its folder with data_dir=" in data["note"]
    assert len(page.notes) == 1
    assert "vqa_rad" in page.notes[0]
    with pytest.raises(MMBenchError, match="no folder"):
        make_page(runs_of("vqa/vqa_rad", "majority"), data_dir=tmp_path / "none")
    assert len(make_page(runs_of("vqa/vqa_rad", "majority"), data_dir=tmp_path).notes) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "none"}, "no task called 'none'"),
        ({"dataset": "none"}, "no dataset called 'none'"),
        ({"split": "none"}, "no split 'none'"),
        ({"fingerprint": "other"}, "other content"),
    ],
)
def test_what_is_not_as_it_was_in_the_run_has_texts_only(change, words):
    [run] = runs_of("vqa/interactions", "majority")
    other = dataclasses.replace(run, record=run.record.model_copy(update=change))
    page = make_page([other], samples=5)
    [(data, files)] = sets_of(page.html)
    assert words in page.notes[0]
    assert files == []
    assert len(data["ids"]) == 5


def test_with_its_folder_a_dataset_has_its_images(shared_data):
    page = make_page(
        runs_of("vqa/vqa_rad", "majority"), data_dir=shared_data / "vqa_rad", samples=20
    )
    [(data, files)] = sets_of(page.html)
    assert page.notes == []
    assert len(files) == len(set(data["media"][0]["codes"])) > 0


def test_retrieval_shows_what_was_asked_for_beside_what_asks():
    [(data, files)] = sets_of(make_page(runs_of("retrieval/scenes", "dual_encoder")).html)
    columns = {column["name"]: decoded(column) for column in data["columns"]}
    assert columns["asks"][:2] == [["image_to_text"], ["text_to_image"]]
    assert columns["caption"][0] == []
    assert [[text] for text in columns["texts of its group"][0]] == columns["caption"][1:6]
    assert [media["name"] for media in data["media"]] == ["image", "image of its group"]
    assert data["media"][0]["codes"][:2] == [0, -1]
    own, of_group = (media["pictures"][0] for media in data["media"])
    assert own == of_group
    assert len(files) == 1000
    scores = {m["name"]: k for k, m in enumerate(data["metrics"])}
    table = load_run(runs_of("retrieval/scenes", "dual_encoder")[0].path).predictions()
    found = decoded(data["runs"][0]["scores"][scores["text_to_image_recall_at_1"]])
    assert found[0] is None
    firsts = [float(ranks[0] == 1) for ranks in table["prediction"]]
    asks = columns["asks"]
    assert all(f == r for f, r, (a,) in zip(found, firsts, asks, strict=True) if a[0] == "t")
    assert data["answer_shown"] == Retrieval.shown_as["answer"]


def test_sounds_can_be_heard_and_seen():
    [(data, files)] = sets_of(make_page(runs_of("vqa/interactions", "majority"), samples=30).html)
    by_kind = {media["kind"]: media for media in data["media"]}
    assert set(by_kind) == {"image", "audio"}
    sounds = by_kind["audio"]["sounds"]
    rate, wave = wavfile.read(io.BytesIO(files[sounds[0]]))
    assert len(wave) / rate == pytest.approx(0.5)
    assert image(files[by_kind["audio"]["pictures"][0]]).size == (160, 64)


def test_videos_are_strips_of_frames():
    page = make_page(runs_of("retrieval/scenes_video", "gated_fusion"), samples=30)
    [(data, files)] = sets_of(page.html)
    width, height = image(files[data["media"][0]["pictures"][0]]).size
    assert width > 3 * height


def test_generation_has_the_images_that_were_made_and_the_real_ones():
    runs = runs_of("generation/scenes", "gated_fusion")
    [(data, files)] = sets_of(make_page(runs, samples=20).html)
    [run] = data["runs"]
    assert run["answers"]["pictures"]
    assert image(files[decoded(run["answers"])[0]]).size == (32, 32)
    assert [media["name"] for media in data["media"]] == ["real image"]


class Photo:
    """A medium whose content does not compress."""

    def __init__(self, seed):
        self.seed = seed

    def array(self):
        return np.random.default_rng(self.seed).integers(0, 256, (224, 224, 3), np.uint8)


def test_media_are_made_as_small_as_they_must_be():
    photos = [Photo(seed) for seed in range(4)]
    roomy, narrow = (shown(photos, "image", 0, room) for room in (100_000, 700))
    assert max(image(roomy[0].picture).size) == 96
    assert sum(photo.size for photo in narrow) < sum(photo.size for photo in roomy) / 3
    assert np.mean([photo.size for photo in narrow]) < 700


def test_a_sound_is_resampled_and_one_that_is_too_large_is_only_seen():
    wave = (10_000 * np.sin(np.arange(160_000) / 5)).astype(np.int16)
    rate, found = wavfile.read(io.BytesIO(wav(wave, 16_000, 8_000)))
    assert (rate, len(found)) == (8_000, 80_000)

    class Sound:
        def array(self):
            return wave

    [heard] = shown([Sound()], "audio", 16_000, 100_000)
    [seen] = shown([Sound()], "audio", 16_000, 3_000)
    assert heard.sound is not None
    assert seen.sound is None


def test_silence_has_a_picture_too():
    class Silence:
        def array(self):
            return np.zeros(2_000, np.int16)

    [found] = shown([Silence()], "audio", 4_000, 1_000)
    assert np.asarray(image(found.picture).convert("L")).max() < 40


def test_hostile_names_stay_text(mini, tmp_path):
    run = mmbench.run("vqa", "majority", dataset=mini, out=tmp_path)
    texts = dict.fromkeys(("dataset", "split", "model"), f"{NASTY}</script><b>{{{{7*7}}}}")
    metric = run.record.primary.model_copy(update={"category": NASTY})
    record = run.record.model_copy(
        update=texts | {"metrics": [run.record.primary, metric], "notes": [NASTY]}
    )
    html = make_page([type(run)(record, run.path, True)]).html
    assert_harmless(html.replace("\t", " "))
    body = html[html.index("<body>") : html.index('class="sample-data"')]
    assert "<b>" not in body
    assert "<script>" not in body
    assert "{{7*7}}" in body


@pytest.fixture
def folder(mini, tmp_path):
    return mmbench.run("vqa", "majority", dataset=mini, out=tmp_path / "results").path


@pytest.fixture
def called(tmp_path, monkeypatch, capsys):
    """The command as a user calls it, in this process: exit code, what it prints, complaints."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["mmbench", *map(str, arguments)])
        code = 0
        try:
            run_command()
        except SystemExit as end:
            code = end.code or 0
        return (code, *capsys.readouterr())

    return call


def test_a_bad_record_is_named_and_the_page_has_the_others(folder):
    bad = folder.parent / "seed-7"
    shutil.copytree(folder, bad)
    (bad / "run.json").write_text("{")
    made = make_report(folder.parent, "html")
    assert len(made.left_out) == 1
    assert made.text == make_report(folder, "html").text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "html", "--output", "made"], "is a folder"),
        (["--format", "html", "--output", "none/page.html"], "none/page.html"),
        (["--format", "csv", "--output", "made"], "is a folder"),
        (["--format", "html", "--samples", "0"], "at least 1"),
        (["--format", "html", "--data-dir", "none"], "no folder none"),
        (["--samples", "5"], "--format=html"),
        (["--format", "html", "--layout", "cost"], "leave out --layout"),
        (["--format", "htm"], "Did you mean html"),
    ],
)
def test_mistakes_are_one_line(folder, called, options, words):
    Path("made").mkdir()
    code, printed, complaint = called("report", str(folder), *options)
    assert (code, printed) == (2, "")
    assert complaint.count("\n") == 1
    assert words in complaint


def test_no_record_is_one_line(called):
    code, printed, complaint = called(*["report", ".", "--format", "html", "--output", "page.html"])
    assert (code, printed, complaint.count("\n")) == (2, "", 1)
    assert not Path("page.html").exists()


def test_the_command_writes_the_page_and_says_what_it_lacks(folder, called):
    file = Path("page.html")
    file.write_text("what was there")
    code, printed, complaint = called("report", str(folder), "--format", "html", "--output", file)
    assert (code, printed, complaint.count("\n")) == (0, "", 1)
    assert "no dataset called 'mini'" in complaint
    assert file.read_text().startswith("<!DOCTYPE html>")
    assert called("report", str(folder), "--format", "html")[1] == file.read_text()
    assert sorted(path.name for path in Path().iterdir()) == ["page.html", "results"]


@pytest.mark.parametrize("format", ["markdown", "csv"])
def test_any_format_can_go_into_a_file(folder, called, format):
    code, printed, _ = called("report", str(folder), "--format", format, "--output", "table")
    assert (code, printed) == (0, "")
    assert called("report", str(folder), "--format", format)[1] == Path("table").read_text()


def test_a_file_that_cannot_be_written_leaves_what_was_there(folder, called, monkeypatch):
    Path("table").write_text("what was there")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    code, _, complaint = called("report", str(folder), "--output", "table")
    assert code == 2
    assert "No space left" in complaint
    assert Path("table").read_text() == "what was there"
    assert sorted(path.name for path in Path().iterdir()) == ["results", "table"]


def test_samples_that_were_left_out_in_the_run_are_left_out_again(mini_folder, monkeypatch):
    asked = {}

    def told(self, name, data_dir=None, skip_bad=False):
        asked["skip_bad"] = skip_bad
        raise MMBenchError("enough")

    monkeypatch.setattr(Retrieval, "dataset", told)
    record = runs_of("retrieval/scenes", "dual_encoder")[0].record
    for skipped in ({}, {"test": 2}):
        with pytest.raises(MMBenchError, match="enough"):
            samples_asked(record.model_copy(update={"skipped": skipped}), Retrieval())
        assert asked == {"skip_bad": bool(skipped)}


def test_the_media_of_ones_own_dataset_are_shown_where_its_file_is_named(
    mini, mini_folder, tmp_path
):
    run = mmbench.run("vqa", "majority", dataset=mini, out=tmp_path)
    [note] = make_page([run]).notes
    assert "name its YAML file with dataset=" in note
    assert make_page([run], dataset=mini).notes == []
    with pytest.raises(MMBenchError, match="no dataset file at gone.yaml"):
        make_page([run], dataset="gone.yaml")
