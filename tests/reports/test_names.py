from pathlib import Path

import pytest

import mmbench
from mmbench import registry
from mmbench.metrics.base import MeanMetric
from mmbench.reports import names
from tests.nasty import NASTY


def test_every_metric_has_a_title_that_a_paper_could_print():
    for name in registry.names("metrics"):
        title, heading = names.metric_title(name)
        assert title != name
        assert "_" not in title + heading
        assert len(title) < 30


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("cider", ("CIDEr", "")),
        ("bleu_4", ("BLEU-4", "")),
        ("vqa_accuracy", ("VQA accuracy", "")),
        ("text_to_image_recall_at_1", ("R@1", "Text-to-image")),
        ("audio_to_text_recall_at_20", ("R@20", "Audio-to-text")),
        ("kid_scenes", ("KID", "Scene features")),
        ("faithfulness_colour", ("Colour", "Faithfulness by kind of claim")),
    ],
)
def test_metrics_are_called_as_the_field_calls_them(name, title):
    assert names.metric_title(name) == title


def test_a_strangers_metric_says_its_title_itself(monkeypatch):
    class Mine(MeanMetric):
        name, title, heading = "mine", "My Score", "Of mine"

    monkeypatch.setattr(registry, "has", lambda kind, name: kind == "metrics")
    monkeypatch.setattr(registry, "load", lambda kind, name: Mine)
    Mine.__abstractmethods__ = frozenset()
    names.metric_title.cache_clear()
    assert names.metric_title("mine") == ("My Score", "Of mine")
    Mine.title = Mine.heading = ""
    names.metric_title.cache_clear()
    assert names.metric_title("mine") == ("Mine", "")
    names.metric_title.cache_clear()


@pytest.mark.parametrize("kind", ["recipes", "datasets", "tasks"])
def test_everything_registered_has_a_title_and_no_two_the_same(kind):
    title = {
        "recipes": names.model_title,
        "datasets": names.dataset_title,
        "tasks": names.task_title,
    }[kind]
    titles = [title(name) for name in registry.names(kind)]
    assert len(set(titles)) == len(titles)
    assert not any("_" in each for each in titles)


def test_what_is_no_plain_name_is_left_as_it_is():
    for title in (names.tidied, names.model_title, names.dataset_title, names.task_title):
        assert title(NASTY) == NASTY
    assert names.metric_title(NASTY) == (NASTY, "")


def test_a_recipes_title_is_no_part_of_what_it_computes():
    from mmbench.recipe import load_recipe

    recipe = load_recipe("mcan_fusion")
    other = recipe.model_copy(update={"title": "Another"})
    assert recipe.title == "MCAN"
    assert recipe.settings() == other.settings()
    assert recipe.deciding(trained=True) == other.deciding(trained=True)


def test_what_files_call_their_model_and_dataset_is_kept_and_reported(mini, tmp_path):
    file, recipe = tmp_path / "mini.yaml", tmp_path / "often.yaml"
    file.write_text(Path(mini).read_text() + "title: Mini & more\n")
    recipe.write_text("title: Most_frequent\npredictor: majority\n")
    own = mmbench.run("vqa", recipe, dataset=str(file), out=tmp_path / "out").record
    assert own.titles == {"model": "Most_frequent", "dataset": "Mini & more"}
    assert mmbench.run("vqa", "majority", out=tmp_path / "known").record.titles == {}
    paper = mmbench.report(tmp_path / "out", "latex", methods=True)
    assert r"test split of Mini \& more" in paper
    assert r"Most\_frequent" in paper
    assert names.dataset_title("mini") == "Mini"  # elsewhere it is not known
