"""What a task names as its references can be built, and fuses nothing."""

import pytest

from mmbench import registry
from mmbench.recipe import load_recipe
from mmbench.zoo.fusion.base import Fusion
from mmbench.zoo.fusion.late import LateFusion

ASSETS = {"words": ["a", "red", "circle"], "answers": ["no", "yes"], "longest": 5}
DATASETS = [
    ("vqa", "easy_vqa", 3),
    ("vqa", "interactions", 4),
    ("captioning", "scenes", 1),
    ("captioning", "scenes_video", 1),
    ("generation", "scenes", 1),
    ("retrieval", "scenes", 1),
    ("retrieval", "scenes_audio", 1),
]


@pytest.mark.parametrize(("name", "dataset", "count"), DATASETS)
def test_every_reference_is_a_model_that_fuses_nothing(name, dataset, count):
    task = registry.load("tasks", name)()
    spec = task.dataset(dataset)
    references = task.references(spec)
    assert len(references) == count
    for reference in references:
        recipe = task.resolve(load_recipe(reference, {}), spec)
        if recipe.predictor:
            continue
        model = task.build(recipe.model_copy(update={"width": 16}), ASSETS)
        assert not any(isinstance(part, Fusion | LateFusion) for part in model.modules())
        if name == "vqa":
            assert len(model.encoders) == 1


def test_a_task_that_names_none_has_none():
    from mmbench.task import Task

    task = registry.load("tasks", "vqa")()
    assert Task.references(task, task.dataset()) == ()
