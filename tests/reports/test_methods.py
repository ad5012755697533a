from mmbench.reports.beside import Beside
from mmbench.reports.checklist import checklist
from mmbench.reports.methods import methods
from mmbench.reports.table import make_tables
from tests.reports.reference import altered, reference_runs, reference_tables


def answers(tables, tests=3):
    return {answer.point: answer for answer in checklist(tables, tests, Beside(tables, []))}


def easy(**models):
    return [r for r in reference_runs("vqa", "easy_vqa") if r.record.model in models or not models]


def test_the_paragraph_says_what_the_records_say():
    text = " ".join(methods(reference_tables("vqa", "easy_vqa"), tests=15))
    for words in (
        *("6 models", "test split of easy-VQA (9,673 questions)", "34,647 samples", "16 epochs"),
        *(
            "batches of 64",
            "one-cycle",
            "3 seeds",
            "best accuracy on validation",
            "1,000 replicates",
        ),
        *("15 tests", "Holm", "mmbench 0.1.0", "torch 2.13.0", "AMD EPYC"),
    ):
        assert words in text


def test_settings_that_differ_are_said_to_differ():
    runs = list(reference_runs("vqa", "easy_vqa"))
    trained = next(r for r in runs if r.record.training)
    recipe = trained.record.recipe | {"train": trained.record.recipe["train"] | {"epochs": 3}}
    tables = make_tables([*runs, altered(trained, recipe=recipe, model="longer")])
    assert "They differ in epochs (16 and 3)" in " ".join(methods(tables, 1))
    answer = answers(tables)["same training settings for all models"]
    assert answer.answer == "no"
    assert "epochs" in answer.found


def test_one_epoch_is_one():
    run = next(r for r in reference_runs("vqa", "easy_vqa") if r.record.training)
    recipe = run.record.recipe | {"train": run.record.recipe["train"] | {"epochs": 1}}
    text = " ".join(methods(make_tables([altered(run, recipe=recipe)]), 0))
    assert "with 1 epoch, batches of 64" in text


def test_the_checklist_of_the_reference_records():
    found = answers(reference_tables("vqa", "easy_vqa"))
    yes = {point for point, answer in found.items() if answer.answer == "yes"}
    assert yes >= {
        *("same data and splits for all models", "same training settings for all models"),
        *("several seeds", "unimodal references", "epoch chosen on validation data alone"),
        *("intervals", "tests, corrected for their number", "cost recorded"),
    }
    assert found["several seeds"].found == "3 seeds a model"
    assert "Image only" in found["unimodal references"].found
    assert found["equal tuning budget"].answer == "not recorded"
    assert found["missing modalities evaluated"].answer == "not recorded"


def test_what_is_not_so_is_not_yes():
    gated = [r for r in reference_runs("vqa", "easy_vqa") if r.record.model == "gated_fusion"]
    found = answers(make_tables(gated[:1]), tests=0)
    assert found["several seeds"].answer == "no"
    assert found["unimodal references"].answer == "no"
    assert found["tests, corrected for their number"].answer == "no"
    environment = gated[0].record.environment
    for update, answer in (
        ({"git_commit": None}, "not recorded"),
        ({"git_dirty": True}, "in part"),
    ):
        changed = altered(gated[0], environment=environment.model_copy(update=update))
        assert answers(make_tables([changed]))["code version"].answer == answer
    other = altered(gated[1], fingerprint="0" * 16, model="other")
    data = answers(make_tables([gated[0], other]))["same data and splits for all models"]
    assert data.answer == "no"
    assert "easy-VQA" in data.found


def test_a_predictor_alone_claims_nothing_of_training():
    majority = [r for r in reference_runs("vqa", "easy_vqa") if r.record.model == "majority"]
    found = answers(make_tables(majority))
    for point in (
        *("several seeds", "same training settings for all models", "unimodal references"),
        *("epoch chosen on validation data alone", "cost recorded"),
    ):
        assert found[point].answer == "not recorded"
