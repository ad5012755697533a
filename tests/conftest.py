"""Fixtures that every test can use."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import easy_vqa
import pytest

from mmbench.cli import main
from mmbench.option_words import on_command_line

if "PYTEST_XDIST_WORKER" in os.environ:  # a worker a core: one thread each, in what it starts too
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]

MINI = """
task: vqa
summary: the first images of easy-VQA
homepage: https://github.com/vzhou842/easy-VQA
licence: MIT
citation: see easy_vqa
source: {package: mini_vqa, install: mini-vqa}
layout: {reader: json_table, columns: {text: 0, target: 1, image: 2}}
splits:
  train: {table: data/train/questions.json, images: "data/train/images/{image}.png"}
  validation: {of: train, hold_out: 0.2}
  test: {table: data/test/questions.json, images: "data/test/images/{image}.png"}
categories:
  yes/no: [yes, no]
image_size: 64
"""

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the checkout (or at $MMBENCH_SHARED); skips where there is none."""
    path = Path(os.environ.get("MMBENCH_SHARED", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"needs the real data sets, which are not at {path}")
    return path


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is in tests/published, unpacked, under the official names."""
    source, folder = ROOT / "tests" / "published", tmp_path_factory.mktemp("published")
    for path in (p for p in source.rglob("*") if p.is_file()):
        packed = path.suffix == ".xz"
        target = folder / path.relative_to(source).with_name(path.stem if packed else path.name)
        target.parent.mkdir(exist_ok=True)
        content = path.read_bytes()
        target.write_bytes(lzma.decompress(content) if packed else content)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is decoded and generated goes to a folder of the session's own, one for all workers, so
    that each thing is made once.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    os.environ["MMBENCH_CACHE"] = str(folder / "cache")


@pytest.fixture(scope="session")
def mini_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package `mini_vqa` with the first images of easy-VQA: 100 to train on, 30 to test on."""
    root = tmp_path_factory.mktemp("mini")
    source = Path(easy_vqa.__file__).parent / "data"
    for split, images in (("train", 100), ("test", 30)):
        target = root / "mini_vqa" / "data" / split
        (target / "images").mkdir(parents=True)
        rows = json.loads((source / split / "questions.json").read_text())
        (target / "questions.json").write_text(json.dumps([r for r in rows if r[2] < images]))
        for image in range(images):
            shutil.copy(source / split / "images" / f"{image}.png", target / "images")
    (root / "mini_vqa" / "__init__.py").write_text("")
    (root / "mini.yaml").write_text(MINI)
    for path in root.rglob("*"):
        os.utime(path, (1e9, 1e9))  # files that were just changed are read each time
    return root


@pytest.fixture
def mini(mini_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a small dataset's YAML file, for models that are trained within seconds."""
    monkeypatch.syspath_prepend(str(mini_folder))
    return str(mini_folder / "mini.yaml")


@pytest.fixture
def from_command_line() -> Iterator[None]:
    """Messages name options, as where a command calls."""
    with on_command_line():
        yield


@pytest.fixture
def mmbench(mini_folder: Path, tmp_path: Path) -> Command:
    """Runs the command as a user does, in an empty folder: `mmbench("list", "models")`."""

    def call(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command_line(*arguments),
            cwd=tmp_path,
            env=environment(mini_folder),
            capture_output=True,
            text=True,
            **options,
        )  # type: ignore[call-overload]

    return call


@pytest.fixture
def command(
    mini_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """As `mmbench`, but in this process, which has imported torch already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(mini_folder))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["mmbench", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return call


def command_line(*arguments: str) -> list[str]:
    """`mmbench ...` by this Python."""
    return [sys.executable, "-c", "from mmbench.cli import main; main()", *arguments]


def environment(*folders: Path) -> dict[str, str]:
    """The environment of a command that finds modules in these folders too."""
    paths = [str(folder) for folder in folders]
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}


def root_bound_by_rights() -> list[str]:
    """What comes before a command that rights of files are to bind, also where root runs it."""
    if os.geteuid():
        return []
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    try:
        subprocess.run([*bound, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("root cannot be bound by rights here")
    return bound
