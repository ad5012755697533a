"""The study of training in stages: what begins from what, its table, and runs that travel light."""

import sys
from pathlib import Path

import pytest
import yaml

import mmbench
from mmbench.checkpoint import read_checkpoint

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts():
    """`benchmarks/staged.py` and `benchmarks/gpu_run.py`, as modules."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import gpu_run
        import staged

        yield staged, gpu_run
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def studied(scripts, scenes_file, tmp_path_factory):
    """The folder of a study of one seed, its recipes made tiny, and the module."""
    staged, _ = scripts
    folder = tmp_path_factory.mktemp("staged")
    for name in ("pretrained", "answers"):
        recipe = yaml.safe_load((staged.FOLDER / f"{name}.yaml").read_text())
        recipe["width"] = 16
        for stage in recipe["stages"]:
            stage["train"] |= {"epochs": 1, "batch": 16}
            if name == "answers":
                stage["data"]["share"] = 0.5
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staged, "FOLDER", folder)
        patch.setattr(staged, "DATASET", scenes_file)
        for name in ("--nothing", "--seed=0", "--without=joint"):
            patch.setattr(sys, "argv", ["staged.py", name, f"--out={folder}", "--device=cpu"])
            staged.main()
    return folder


def _answers(folder, condition):
    (path,) = folder.glob(f"{condition}/vqa/*/answers/*/seed-0")
    return mmbench.load_run(path)


def test_the_staged_model_takes_encoders_and_fusion_and_the_other_nothing(studied):
    taken = " ".join(_answers(studied, "all_stages").record.notes)
    assert "taken: encoders.text, encoders.image, fusion; new: decoder" in taken
    assert "begins from" not in " ".join(_answers(studied, "nothing").record.notes)


def test_a_stage_that_is_left_out_is_not_in_the_training_before(studied):
    (path,) = studied.glob("pretrained/without_joint/retrieval/*/pretrained/*/seed-0")
    stages = {entry["stage"] for entry in map(yaml.safe_load, (path / "log.jsonl").open())}
    assert stages == {"image", "text", "align"}


def test_the_table_of_the_staged_study_has_each_condition_beside_nothing(studied, scripts):
    staged, _ = scripts
    rows = [line.strip("| ").split(" | ") for line in staged.table(studied).splitlines()[2:]]
    assert [row[0] for row in rows] == ["nothing", "all stages", "without joint"]
    values = {name: 100 * _answers(studied, name).value for name in ("nothing", "all_stages")}
    assert rows[0][2].startswith(f"{values['nothing']:.1f} [")
    assert rows[1][3].startswith(f"{values['all_stages'] - values['nothing']:+.1f} [")


def test_weights_that_travel_light_are_kept_once_and_their_records_stay_right(
    studied, scripts, tmp_path
):
    _, gpu_run = scripts
    whole = studied / "pretrained" / "all_stages"
    tensors = read_checkpoint(next(whole.rglob("weights.safetensors"))).tensors
    gpu_run.carry(whole, keep=True)
    (kept,) = (whole / "weights").iterdir()
    assert set(read_checkpoint(kept).tensors) == set(tensors)
    assert not list(whole.rglob("weights.safetensors"))
    for path in whole.glob("*/*/pretrained/*/seed-0"):
        assert mmbench.load_run(path).record.model == "pretrained"
