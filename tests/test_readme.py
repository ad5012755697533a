"""What the README shows is what happens."""

import json
import re
import subprocess
import sys
from functools import lru_cache

import pytest

from mmbench_baselines.ship import SCORES
from tests.conftest import ROOT, command_line, environment

README = (ROOT / "README.md").read_text()
PAGES = {path: path.read_text() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))}
FILES = dict(
    file
    for text in PAGES.values()
    for file in re.findall(r"```\w+ (\S+\.\w+)\n(.*?)```", text, re.DOTALL)
)


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """The package of docs/extending.md and the pages beside it, installed by pip into a folder."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    for name, content in FILES.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(content)
    for package in ("product_recipes", "shapes_data"):
        (source / package / "__init__.py").touch()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", target, source], check=True, capture_output=True)
    return target


def mmbench(arguments: str, cwd, *folders) -> str:
    done = subprocess.run(
        command_line(*arguments.split()),
        cwd=cwd,
        env=environment(*folders),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_value_shown_is_that_of_the_shipped_weights():
    scores = json.loads(SCORES.read_text())
    shown = re.split(r"^(\w+) on (\w+/\w+), .*\n", README, flags=re.MULTILINE)[1:]
    values = 0
    for model, dataset, lines in zip(shown[::3], shown[1::3], shown[2::3], strict=True):
        known = scores[f"{dataset}/{model}"]
        for name, value in re.findall(r"^  (\w+) +(\d+\.\d\d)  \[", lines, re.MULTILINE):
            scale = 1 if name.startswith("fd_") else 100
            assert value == f"{scale * known[name]:.2f}"
            values += 1
    assert values >= 4


def test_the_comparison_is_that_of_the_reference_records():
    from mmbench.experiments.compare import compare_runs
    from mmbench.experiments.result import load_run
    from mmbench.records.store import find_records
    from mmbench.reports.comparison import comparison_text

    runs = {}
    for folder in find_records([ROOT / "results" / "reference" / "vqa" / "easy_vqa"]):
        run = load_run(folder)
        runs.setdefault(run.record.model, []).append(run)
    text = comparison_text(compare_runs(runs)).splitlines()
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL)[1].splitlines()
    assert text[: len(shown)] == shown


def test_a_fusion_of_ones_own(plugins, mini_folder, tmp_path):
    dataset = f"--dataset {mini_folder / 'mini.yaml'} --set train.epochs=2"
    assert "product" in mmbench("list fusions", tmp_path, plugins)
    shown = mmbench("show product --width 16", tmp_path, plugins)
    assert "equation    h = prod_i tanh(W_i x_i)" in shown
    assert "544 counted at width 16" in shown  # two layers of 16 x 16 + 16
    out = mmbench(
        f"compare --task vqa --models concat_fusion,product_fusion --seeds 1 {dataset}",
        tmp_path,
        plugins,
        mini_folder,
    )
    assert "different fusion" in out
    assert "is not trained as the others" not in out


@pytest.mark.whole
def test_the_fusion_of_ones_own_keeps_the_contract(plugins):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-k", "product", "tests/zoo"],
        cwd=ROOT,
        env=environment(plugins),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.whole
def test_an_encoder_of_ones_own(plugins, mini_folder, tmp_path):
    assert "keeps its contract" in mmbench("check encoder patches", tmp_path, plugins)
    dataset = f"--dataset {mini_folder / 'mini.yaml'} --set train.epochs=1 --set width=16"
    options = f"--model gated_fusion --train --set encoders.image=patches {dataset}"
    assert "accuracy" in mmbench(f"run --task vqa {options}", tmp_path, plugins, mini_folder)


def test_a_metric_of_ones_own(plugins, tmp_path):
    assert "keeps its contract" in mmbench("check metric caseless", tmp_path, plugins)
    (tmp_path / "given.jsonl").write_text('{"id": 1, "prediction": "Circle"}\n')
    (tmp_path / "right.jsonl").write_text('{"id": 1, "target": "circle"}\n')
    files = "--predictions given.jsonl --references right.jsonl --metrics caseless,accuracy"
    out = mmbench(f"score --task vqa {files}", tmp_path, plugins)
    assert re.search(r"caseless +100\.00", out)
    assert re.search(r"accuracy +0\.00", out)
    assert "caseless|case:ignored|v:1" in out


@pytest.mark.whole
def test_a_balancing_method_of_ones_own(plugins, mini_folder, tmp_path):
    assert "even" in mmbench("list balance", tmp_path, plugins)
    dataset = f"--dataset {mini_folder / 'mini.yaml'} --set train.epochs=1 --set width=16"
    options = f"--model concat_fusion --train --set balance=even {dataset}"
    assert "accuracy" in mmbench(f"run --task vqa {options}", tmp_path, plugins, mini_folder)


@pytest.mark.whole
def test_the_balancing_method_of_ones_own_keeps_the_contract(plugins):
    contract = "tests/training/test_balance_contract.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-k", "even-concat or even]", contract],
        cwd=ROOT,
        env=environment(plugins),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.whole
def test_a_task_of_ones_own(plugins, tmp_path):
    assert "Image classification" in mmbench("list tasks", tmp_path, plugins)
    options = "--set fusion=null --set train.epochs=1 --train"
    out = mmbench(f"run --task shapes --model gated_fusion {options}", tmp_path, plugins)
    accuracy = float(re.search(r"accuracy +([\d.]+)", out)[1])
    assert accuracy > 45  # a third by chance
    assert "shapes/shapes" in out


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_is_one_that_exists(page, helps):
    text = PAGES[page].replace("\\\n", " ")
    lines = re.findall(
        r"^ *(?:\$ )?mmbench ((?:data|cache) \w+|\w+)(?: (.*?))?(?:  +#.*)?$", text, re.MULTILINE
    )
    for command, arguments in lines:
        for option in re.findall(r"(?<![\w-])--[\w-]+", re.sub(r"'[^']*'", "", arguments)):
            assert option in helps(command), f"mmbench {command} has no {option}"


@pytest.fixture(scope="module")
def helps():
    """What `--help` of a command prints, by the command."""

    @lru_cache
    def printed(command: str) -> str:
        return subprocess.run(
            command_line(*command.split(), "--help"),
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    return printed


def test_the_readme_is_a_first_screen_and_a_tour():
    assert len(README.splitlines()) <= 200


def test_a_task_of_ones_own_is_scored_from_files(plugins, tmp_path):
    (tmp_path / "given.jsonl").write_text('{"id": 1, "prediction": "circle"}\n')
    (tmp_path / "right.jsonl").write_text('{"id": 1, "target": "circle"}\n')
    files = "--predictions given.jsonl --references right.jsonl"
    out = mmbench(f"score --task shapes {files}", tmp_path, plugins)
    assert "accuracy" in out
    assert "100.00" in out
