"""What people try first: --version, -h, near names, completion, the cache, lists by task."""

import os
import re
import time

import pytest

import mmbench as package
from mmbench.cli.cache import prune_text, size_text
from mmbench.cli.show import show_text
from mmbench.data.cache_contents import DAY, entries
from mmbench.errors import MMBenchError
from mmbench.recipe import load_recipe, parse_overrides


def test_the_version_is_told(mmbench):
    done = mmbench("--version")
    assert done.stdout.strip() == f"mmbench {package.__version__}"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", package.__version__)


@pytest.mark.parametrize(
    "command", [(), ("run",), ("data",), ("data", "check"), ("cache", "prune")]
)
def test_h_is_help(mmbench, command):
    short, long = mmbench(*command, "-h"), mmbench(*command, "--help")
    assert short.returncode == 0
    assert short.stdout == long.stdout != ""


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("run", "--epochs", "3"), "--set train.epochs=3"),
        (("run", "--lr=0.1", "--task", "vqa"), "--set train.lr=0.1"),
        (("run", "--learning-rate", "0.1"), "--set train.lr=0.1"),
        (("compare", "--width"), "--set width=VALUE"),
        (("run", "--epoch", "3"), "--set train.epochs=3"),
        (("run", "--dataste", "x"), "--dataset"),
        (("compare", "--seed", "3"), "--seeds"),
        (("score", "--predicitons", "x"), "--predictions"),
    ],
)
def test_an_unknown_option_leads_to_the_one_that_is_meant(mmbench, arguments, meant):
    done = mmbench(*arguments)
    assert done.returncode == 2
    assert f"Did you mean {meant}?" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "meant"),
    [("epochs", "train.epochs"), ("fuson", "fusion"), ("train.epoch", "train.epochs")],
)
def test_a_key_of_a_group_leads_there(given, meant):
    from mmbench.recipe import load_recipe

    with pytest.raises(MMBenchError, match=f"Did you mean {meant}\\?"):
        load_recipe("gated_fusion", {given: 3})


def test_a_command_without_recipes_offers_none(mmbench):
    done = mmbench("report", "--epochs", "3", ".")
    assert done.returncode == 2
    assert "no such option --epochs" in done.stderr
    assert "train.epochs" not in done.stderr


def complete(mmbench, monkeypatch, line):
    monkeypatch.setenv("_MMBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    return mmbench().stdout.split()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("mmbench compa", "compare"),
        ("mmbench run --task vq", "vqa"),
        ("mmbench run --model gated_f", "gated_fusion"),
        ("mmbench show easy_v", "easy_vqa"),
        ("mmbench list late", "late_fusions"),
    ],
)
def test_a_shell_completes_commands_and_names(mmbench, monkeypatch, line, found):
    assert found in complete(mmbench, monkeypatch, line)


def test_completion_is_installed_for_a_shell(mmbench, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    done = mmbench("--install-completion", "bash")
    assert done.returncode == 0, done.stderr
    assert "_MMBENCH_COMPLETE" in "".join(
        path.read_text() for path in tmp_path.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    ("task", "there", "absent"),
    [
        ("vqa", "anls", "cider"),
        ("captioning", "bleu_4", "accuracy"),
        ("retrieval", "text_to_image_mrr", "fid"),
        ("generation", "kid_scenes", "rsum"),
    ],
)
def test_metrics_are_listed_by_task(mmbench, task, there, absent):
    done = mmbench("list", "metrics", "--task", task)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert there in names
    assert absent not in names


def test_every_metric_is_some_tasks(mmbench):
    from mmbench import registry
    from mmbench.cli.listing import list_text

    listed = "\n".join(list_text("metrics", task) for task in registry.names("tasks"))
    assert {line.split()[0] for line in listed.splitlines()} == set(registry.names("metrics"))


def test_what_is_not_of_a_task_is_not_listed_by_task(mmbench):
    done = mmbench("list", "fusions", "--task", "vqa")
    assert (done.returncode, done.stdout) == (2, "")
    assert "drop --task" in done.stderr


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A cache with an old and a new file, a folder of files, and a lock."""
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path))
    for name, size, days in (
        ("images/old.npy", 3_000_000, 40),
        ("images/new.npy", 1_000, 0),
        ("features/net/a.npy", 500, 10),
        ("features/net/b.npy", 500, 50),
        ("locks/a.lock", 0, 90),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
        then = time.time() - days * DAY
        os.utime(path, (then, then))
    return tmp_path


def test_the_cache_is_listed_with_sizes(kept, mmbench):
    assert [(e.kind, e.path.name, e.size) for e in entries()] == [
        ("features", "net", 1_000),
        ("images", "old.npy", 3_000_000),
        ("images", "new.npy", 1_000),
    ]
    assert size_text().splitlines()[0] == f"{kept}: 3.0 MB"
    listed = mmbench("cache", "list", "--kind", "images")
    assert [line.split() for line in listed.stdout.splitlines()[1:]] == [
        ["images", "3.0", "MB", "40", "images/old.npy"],
        ["images", "1.0", "kB", "0", "images/new.npy"],
    ]


def test_what_was_not_used_lately_is_pruned(kept):
    assert prune_text(None, 30, dry_run=True) == "would be removed: 1 entries, 3.0 MB"
    assert (kept / "images" / "old.npy").exists()
    assert prune_text(None, 30, dry_run=False) == "removed: 1 entries, 3.0 MB"
    assert [entry.path.name for entry in entries()] == ["net", "new.npy"]
    assert prune_text(["images"], 0, dry_run=False).startswith("removed: 1 entries")
    assert [entry.path.name for entry in entries()] == ["net"]
    prune_text(None, 0, dry_run=False)
    assert entries() == []
    assert (kept / "locks" / "a.lock").exists()
    assert [p.name for p in kept.rglob("*") if p.is_file()] == ["a.lock"]


def test_mistakes_with_the_cache_are_told(kept):
    with pytest.raises(MMBenchError, match="Did you mean images"):
        prune_text(["image"], 0, dry_run=False)
    with pytest.raises(MMBenchError, match="0 days or more"):
        prune_text(None, -1, dry_run=False)
    assert len(entries()) == 3


def test_list_without_a_word_says_what_there_is(mmbench):
    done = mmbench("list")
    assert done.returncode == 2
    assert "loggers" in done.stderr
    assert "fusions" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--models concat_fusion gated_fusion", "--models concat_fusion,gated_fusion"),
        ("--models concat_fusion,gated_fusion --seeds 0", "written with a comma: 0,"),
    ],
)
def test_compare_says_how_models_and_a_single_seed_are_written(mmbench, arguments, says):
    done = mmbench("compare", "--task", "vqa", *arguments.split())
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("data.share=0.1", "stages=[{..., data: ...}]"),
        ("stages=[{name: a, objective: task, share: 0.1}]", "Did you mean stages.0.data.share"),
        ("stages=[{name: a, objectiv: task}]", "Known here: name, objective,"),
    ],
)
def test_a_key_of_a_stage_that_is_written_elsewhere_is_told_where_it_stands(change, says):
    with pytest.raises(MMBenchError) as error:
        load_recipe("gated_fusion", parse_overrides([change]))
    assert says in str(error.value)


@pytest.mark.parametrize("function", ["run", "compare"])
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"set": {"train.epochs": 3}}, 'overrides={"train.epochs": 3}'),
        ({"overrides": ["train.epochs=3"]}, "overrides must be a valid dictionary"),
    ],
)
def test_in_python_overrides_are_named_as_python_has_them(function, settings, says):
    with pytest.raises(MMBenchError) as error:
        getattr(package, function)("vqa", "gated_fusion", **settings)
    assert says in str(error.value)
    assert "--overrides" not in str(error.value)


def test_show_has_everything_of_one_name_and_what_a_file_that_is_not_there_is():
    text = show_text("simclr")
    assert text.startswith("model simclr on ")
    assert "\n\nobjective simclr\n" in text
    with pytest.raises(MMBenchError, match="there is no file mine_none.yaml"):
        show_text("mine_none.yaml")


def test_a_model_is_shown_on_the_task_of_the_dataset_that_is_named():
    assert show_text("gated_fusion", dataset="easy_vqa").startswith("model gated_fusion on vqa/")
    assert "--task shows another" in show_text("gated_fusion")
