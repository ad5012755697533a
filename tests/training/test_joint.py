"""Models of several tasks: one set of weights, a record of each task, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.checkpoint import read_checkpoint, read_header
from mmbench.cli.show import show_text
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.joint_plan import joint_plans
from mmbench.experiments.together import run_together
from mmbench.experiments.watch import Watch
from mmbench.joint_model import JointModel, restored_joint_model, with_words_of_all
from mmbench.model import parameter_counts
from mmbench.request import run_request
from mmbench.training.joint import (
    Conflict,
    JointBatches,
    JointObjectives,
    cosine,
    steps_of,
)
from mmbench.training.objectives.weighted import total
from mmbench.training.stage_batches import StageBatches
from mmbench.training.state import STATE_FILE

QUICK = {"width": 16, "train.epochs": 2, "train.batch": 16}
TASKS = ["vqa", "captioning", "retrieval"]
PAIR = ["vqa", "captioning"]


class Told(Watch):
    """Remembers what it was told; presses Ctrl-C in an epoch, or as the n-th task is answered."""

    def __init__(self, epoch=None, answering=None):
        self.epoch, self.answering = epoch, answering
        self.entries = []
        self.answered_tasks = 0

    def stepped(self, loss, samples, steps=1):
        if len(self.entries) + 1 == self.epoch:
            raise KeyboardInterrupt

    def finished_epoch(self, entry):
        self.entries.append(entry)

    def started_answering(self, samples):
        self.answered_tasks += 1
        if self.answered_tasks == self.answering:
            raise KeyboardInterrupt


def joint_stage(objective, **settings):
    return {"stages": [{"name": "joint", "objective": objective} | settings]}


@pytest.fixture(scope="module")
def together(scenes_file):
    def call(out, tasks=PAIR, model="gated_fusion", **options):
        overrides = QUICK | options.pop("overrides", {})
        options = {"dataset": scenes_file, "train": True, "out": out} | options
        return run_together(tasks, model, overrides=overrides, **options)

    return call


@pytest.fixture(scope="module")
def trained(together, tmp_path_factory):
    """The records of VQA, captioning and retrieval by one model, and the folder that has them."""
    out = tmp_path_factory.mktemp("joint")
    return together(out, TASKS), out


@pytest.fixture(scope="module")
def plans(scenes_file):
    """`plans(tasks)`: of a model that is trained on them."""

    def make(tasks=PAIR, **options):
        overrides = QUICK | options.pop("overrides", {})
        settings = {"dataset": scenes_file, "train": True} | options
        task, model = ",".join(tasks), options.pop("model", "gated_fusion")
        settings.pop("model", None)
        return joint_plans(run_request(task=task, model=model, overrides=overrides, **settings))

    return make


@pytest.fixture
def joint_model(plans):
    """`joint_model(tasks)`: a new model, its plans, and the samples of each task."""

    def make(tasks=PAIR, **options):
        made = plans(tasks, **options)
        torch.manual_seed(0)
        assets = with_words_of_all({n: p.task.assets(p.train) for n, p in made.items()})
        recipes = {name: plan.recipe for name, plan in made.items()}
        model = JointModel({n: p.task for n, p in made.items()}, recipes, assets)
        return model, made, {name: plan.train for name, plan in made.items()}

    return make


def log(result):
    return [json.loads(line) for line in (result.path / "log.jsonl").read_text().splitlines()]


def files(results, name="weights.safetensors"):
    return {task: result.record.files[name] for task, result in results.items()}


def test_each_task_has_a_record_of_one_set_of_weights(trained):
    results, _ = trained
    assert list(results) == TASKS
    assert len(set(files(results).values())) == 1
    checkpoint = read_checkpoint(results["vqa"].path / "weights.safetensors")
    assert checkpoint.tasks == ("captioning", "retrieval", "vqa")
    buffers = ("running_", "num_batches")
    whole = sum(
        tensor.numel()
        for name, tensor in checkpoint.tensors.items()
        if not any(buffer in name for buffer in buffers)
    )
    for task, result in results.items():
        record = result.record
        assert (record.task, record.model) == (task, "gated_fusion")
        assert set(record.joint.tasks) == set(TASKS)
        assert record.joint.parameters == whole
        assert 0 < sum(record.parameters.values()) < whole
        assert any("one set of weights" in note for note in record.notes)
        assert mmbench.load_run(result.path).record == record


def test_encoders_and_the_fusion_are_one_and_decoders_are_not(joint_model):
    model, plans, _ = joint_model(TASKS)
    vqa, captioning = model.of("vqa"), model.of("captioning")
    assert vqa.encoders["image"] is captioning.encoders["image"] is model.encoders["image"]
    shared = {id(m.shared) for m in model.modules() if hasattr(m, "shared")}
    assert shared == {id(model.fusion)}
    whole = sum(parameter_counts(model).values())
    alone = 0
    for plan in plans.values():
        single = plan.task.build(plan.recipe, plan.task.assets(plan.train))
        alone += sum(parameter_counts(single).values())
    assert whole < 0.75 * alone
    names = [name for name, _ in model.named_parameters()]
    buffers = [name for name in model.state_dict() if name not in names]
    assert all("running" in name or "num_batches" in name for name in buffers)
    heads = {name.split(".")[0] for name in names}
    assert heads == {"encoders", "fusion", "models"}


def test_all_tasks_know_the_words_of_all(trained):
    results, _ = trained
    assets = read_header(results["vqa"].path / "weights.safetensors").assets
    words = assets["words"]
    assert all(assets["tasks"][task]["words"] == words for task in TASKS)
    assert len(set(words)) == len(words)


def test_a_second_call_finds_the_records_whatever_the_order_of_the_tasks(trained, together):
    results, out = trained
    watch = Told()
    again = together(out, [*reversed(TASKS)], watch=watch)
    assert list(again) == [*reversed(TASKS)]
    assert all(result.reused for result in again.values())
    assert watch.entries == []
    assert {t: r.record for t, r in again.items()} == {t: r.record for t, r in results.items()}


def test_a_training_that_was_cut_off_ends_as_it_would_have(trained, together, tmp_path):
    whole, _ = trained
    with pytest.raises(Interrupted, match="the same command goes on"):
        together(tmp_path, TASKS, watch=Told(epoch=2))
    assert len([*tmp_path.rglob(STATE_FILE)]) == 1
    watch = Told()
    results = together(tmp_path, TASKS, watch=watch)
    assert [entry["epoch"] for entry in watch.entries] == [2]
    for name in ("weights.safetensors", "predictions.parquet"):
        assert files(results, name) == files(whole, name)
    timed = {"train_seconds", "samples_per_second"}
    ours, theirs = (
        [
            {key: value for key, value in entry.items() if key not in timed}
            for entry in log(r["vqa"])
        ]
        for r in (results, whole)
    )
    assert ours == theirs
    assert not [*tmp_path.rglob(STATE_FILE)]


def test_records_that_a_stop_left_out_are_made_without_training_again(trained, together, tmp_path):
    whole, _ = trained
    with pytest.raises(Interrupted, match="1 of 3 records were written"):
        together(tmp_path, TASKS, watch=Told(answering=2))
    watch = Told()
    results = together(tmp_path, TASKS, watch=watch)
    assert watch.entries == []
    assert [r.reused for r in results.values()].count(True) == 1
    assert files(results) == files(whole)


def test_the_log_and_progress_say_how_far_gradients_agree(trained):
    from mmbench.cli.progress import conflict_words
    from mmbench.experiments.logged import values_of_entry

    results, _ = trained
    entries = log(results["vqa"])
    assert entries == log(results["captioning"])
    pairs = {"captioning/retrieval", "captioning/vqa", "retrieval/vqa"}
    for entry in entries:
        assert set(entry["conflict"]) == pairs
        assert all(-1 <= value <= 1 for value in entry["conflict"].values())
        assert set(entry["validation_losses"]) == set(TASKS)
        assert "captioning/vqa" in conflict_words(entry)
        assert pairs == {
            key.removeprefix("conflict/")
            for key in values_of_entry(entry)
            if key.startswith("conflict/")
        }
        assert {"vqa.answer", "captioning.words"} <= set(entry["losses"])
    assert any("cosine" in note for note in results["vqa"].record.notes)


def test_the_epoch_of_the_least_mean_relative_loss_is_kept(trained):
    results, _ = trained
    entries = log(results["vqa"])
    first = entries[0]["validation_losses"]
    means = [
        np.mean([e["validation_losses"][task] / first[task] for task in first]) for e in entries
    ]
    assert [-e["validation"] for e in entries] == pytest.approx(means, rel=1e-5)
    assert results["vqa"].record.training.best_epoch == 1 + int(np.argmin(means))
    assert results["vqa"].record.identity.chosen_by == "mean relative loss"


def test_the_conflict_is_the_cosine_of_gradients_on_what_both_tasks_reach(joint_model):
    model, plans, samples = joint_model()
    models = {name: model.of(name) for name in plans}
    settings = {name: plan.recipe.train for name, plan in plans.items()}
    stage = plans["vqa"].recipe.joint
    objectives = JointObjectives(stage, models, settings)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.random.get_rng_state()
    conflict = Conflict(objectives, models, samples, settings, 0, torch.device("cpu"))
    found = conflict.measure()
    assert conflict.measure() == found
    assert torch.equal(torch.random.get_rng_state(), drawn)
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in model.parameters())

    shared = [*model.encoders["image"].parameters(), *model.fusion.parameters()]
    gradients = []
    for name, one in models.items():
        batch = next(StageBatches(one, samples[name], settings[name], 0, None).epoch(0))
        torch.manual_seed(0)
        loss = total(one.train().losses(one.collate_training(batch, np.random.default_rng(0))))
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared)]))
    direct = torch.nn.functional.cosine_similarity(*gradients, dim=0)
    assert found["captioning/vqa"] == pytest.approx(direct.item(), abs=1e-5)


def test_a_cosine_is_of_what_both_have():
    a, b = {1: torch.tensor([1.0, 0.0]), 2: torch.ones(3)}, {1: torch.tensor([0.0, 2.0])}
    assert cosine(a, b) == 0
    assert cosine(b, {1: torch.tensor([0.0, -1.0])}) == -1
    assert cosine({2: torch.ones(3)}, b) is None
    assert cosine(b, {1: torch.zeros(2)}) is None


def test_weights_say_how_often_an_epoch_goes_through_a_tasks_samples(joint_model):
    model, plans, samples = joint_model()
    settings = {name: plan.recipe.train for name, plan in plans.items()}
    each = {n: StageBatches(model.of(n), samples[n], settings[n], 0, None) for n in plans}
    batches = JointBatches(each, {"vqa": 2.0, "captioning": 0.4}, 0)
    drawn = [[*batches.epoch(epoch)] for epoch in (0, 0, 1)]
    tasks = [[batch.task for batch in epoch] for epoch in drawn]
    assert tasks[0] == tasks[1] != tasks[2]
    assert len(batches) == len(tasks[0]) == 2 * len(each["vqa"]) + 1
    assert tasks[0].count("captioning") == tasks[2].count("captioning") == 1
    twice = [sample.id for batch in drawn[0] if batch.task == "vqa" for sample in batch]
    assert sorted(twice) == sorted(2 * [sample.id for sample in samples["vqa"]])
    with pytest.raises(MMBenchError, match="weight of vqa, 0.01, leaves it no step"):
        steps_of({"vqa": 3}, {"vqa": 0.01})


def test_weights_of_one_task_are_restored_from_those_of_all(trained, scenes_file, tmp_path):
    results, _ = trained
    weights = results["vqa"].path / "weights.safetensors"
    for task in TASKS:
        settings = {"dataset": scenes_file, "overrides": QUICK, "out": tmp_path}
        found = mmbench.run(task, "gated_fusion", checkpoint=weights, **settings)
        joint = results[task].record
        assert found.record.weights.source == "checkpoint"
        assert found.record.files["predictions.parquet"] == joint.files["predictions.parquet"]
        assert found.record.joint == joint.joint
        assert found.record.parameters == joint.parameters
    other = {"decoder.search.kind": "beam"}
    again = mmbench.run(
        "captioning", "gated_fusion", checkpoint=weights, **settings | {"overrides": QUICK | other}
    )
    assert again.record.hash != found.record.hash
    with pytest.raises(MMBenchError, match="trained for captioning and retrieval and vqa, not gen"):
        mmbench.run("generation", "gated_fusion", checkpoint=weights, **settings)
    wide = settings | {"overrides": {"width": 32}}
    with pytest.raises(MMBenchError, match="does not fit the recipe"):
        mmbench.run("vqa", "gated_fusion", checkpoint=weights, **wide)


def test_shipped_weights_of_several_tasks_answer_each(together, scenes_file, tmp_path):
    """As `baselines.ship` lays them beside a recipe: a copy for each task, a byte a weight."""
    recipe = tmp_path / "few_tasks.yaml"
    recipe.write_text(
        "fusion: gated\nwidth: 16\nencoders: {text: gru}\ntrain: {epochs: 1, batch: 16}\n"
        "stages: [{name: joint, objective: {vqa: 1.0, captioning: 1.0}}]\n"
    )
    settings = {"dataset": scenes_file, "out": tmp_path / "out"}
    made = run_together(PAIR, str(recipe), train=True, **settings)
    content = read_checkpoint(made["vqa"].path / "weights.safetensors").in_bytes().to_bytes()
    for task in PAIR:
        shipped = tmp_path / "weights" / task / "few_scenes" / "few_tasks.safetensors"
        shipped.parent.mkdir(parents=True)
        shipped.write_bytes(content)
    found = run_together(PAIR, str(recipe), **settings)
    for result in found.values():
        assert result.record.weights.source == "shipped"
        assert result.record.joint == made["vqa"].record.joint
    other = {"overrides": {"train.lr": 0.1}}
    with pytest.raises(MMBenchError, match=r"trained with other settings .train\.lr"):
        run_together(PAIR, str(recipe), **settings, **other)


def test_a_joint_checkpoint_keeps_each_tensor_once_and_gives_the_model_back(trained):
    results, _ = trained
    checkpoint = read_checkpoint(results["vqa"].path / "weights.safetensors")
    model = restored_joint_model(checkpoint)
    state = model.state_dict()
    assert set(state) == set(checkpoint.tensors)
    assert all(torch.equal(tensor, checkpoint.tensors[name]) for name, tensor in state.items())
    one = model.of("captioning")
    own = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    one.load_state_dict({name: torch.zeros_like(tensor) for name, tensor in own.items()})
    assert not model.fusion.gate.weight.any()
    one.load_state_dict(own)
    assert torch.equal(model.fusion.gate.weight, state["fusion.gate.weight"])


def test_training_begins_from_parts_of_a_joint_checkpoint(trained, together, scenes_file, tmp_path):
    results, _ = trained
    weights = results["vqa"].path / "weights.safetensors"
    overrides = QUICK | {"train.epochs": 1, "train.lr": 1e-12}
    settings = {"dataset": scenes_file, "train": True, "init": weights, "overrides": overrides}
    single = mmbench.run("vqa", "gated_fusion", out=tmp_path, **settings).record
    (note,) = [note for note in single.notes if note.startswith("begins from")]
    taken = note.partition("taken: ")[2].partition(";")[0].split(", ")
    assert {"encoders.image", "encoders.text", "fusion", "decoder"} == set(taken)
    found = together(tmp_path, init=weights, overrides=overrides)
    (note,) = [n for n in found["vqa"].record.notes if n.startswith("begins from")]
    taken = note.partition("taken: ")[2].partition(";")[0].split(", ")
    decoders = {f"models.{task}.decoder" for task in PAIR}
    assert {"encoders.image", "encoders.text", "fusion", *decoders} == set(taken)
    old = read_checkpoint(weights).tensors
    new = read_checkpoint(found["vqa"].path / "weights.safetensors").tensors
    for name in ("fusion.gate.weight", "models.captioning.decoder.cells.0.weight_ih_l0"):
        torch.testing.assert_close(new[name], old[name], atol=1e-6, rtol=0)


def test_images_are_drawn_beside_after_a_stage_of_the_autoencoder(together, tmp_path):
    tasks = ["captioning", "generation"]
    objective = {"captioning": 1.0, "generation": 0.5}
    found = together(tmp_path, tasks, overrides=joint_stage(objective) | {"train.epochs": 1})
    stages = [entry["stage"] for entry in log(found["generation"])]
    assert set(stages[:-1]) == {"autoencoder"}
    assert stages[-1] == "joint"
    assert (found["generation"].path / "samples.png").exists()
    tensors = read_checkpoint(found["generation"].path / "weights.safetensors").tensors
    assert any(".autoencoder." in name for name in tensors)


def test_stages_before_train_what_is_shared_on_the_task_that_they_fit(together, tmp_path):
    image = {"name": "image", "objective": "simclr", "trains": ["encoders.image"]}
    text = {"name": "text", "objective": "clm", "trains": ["encoders.text"]}
    before = [image, text | {"data": {"task": "captioning"}}]
    stages = [s | {"train": {"epochs": 1}} for s in before]
    objective = {"captioning": 1.0, "vqa": 1.0}
    joint = {"name": "both", "objective": objective, "freezes": ["encoders.image"]}
    found = together(tmp_path, overrides={"stages": [*stages, joint]})
    assert [entry["stage"] for entry in log(found["vqa"])] == ["image", "text", "both", "both"]
    other = joint | {"freezes": ["encoders.image", "fusion"]}
    again = together(tmp_path, overrides={"stages": [*stages, other]})
    a, b = (
        read_checkpoint(results["vqa"].path / "weights.safetensors").tensors
        for results in (found, again)
    )
    same = [n for n in a if n.startswith("encoders.image.") and "running" not in n]
    assert same
    assert all(torch.equal(a[name], b[name]) for name in same)


def test_the_identity_covers_what_all_tasks_learn_from(plans, scenes_file, tmp_path):
    def hashes(**options):
        return {name: plan.identity.hash for name, plan in plans(**options).items()}

    plain = hashes()
    assert plain == hashes(tasks=[*reversed(PAIR)])
    assert plain == hashes(overrides=joint_stage({"captioning": 1, "vqa": 1}))
    fewer = Path(tmp_path, "fewer_scenes.yaml")
    fewer.write_text(Path(scenes_file).read_text().replace("first: 48", "first: 40"))
    others = [
        hashes(overrides=joint_stage({"captioning": 1, "vqa": 2})),
        hashes(overrides={"decoder": {"name": ""}, "train.lr": 0.01}),
        hashes(tasks=TASKS),
        hashes(dataset=f"{scenes_file},{fewer}"),
    ]
    for other in others:
        assert all(other[task] != plain[task] for task in PAIR)
    limited = plans(limit=5)
    assert limited["vqa"].identity.joint == plans()["vqa"].identity.joint


def test_tables_show_joint_records_and_what_all_tasks_take(trained, tmp_path):
    from mmbench.reports.costs import COSTS

    results, out = trained
    text = mmbench.report([out])
    assert "gated_fusion" in str(text) or text is not None
    (cost,) = [cost for cost in COSTS if cost.name == "joint_parameters"]
    assert cost.of(results["vqa"].record) == results["vqa"].record.joint.parameters


def test_show_lists_what_is_shared_and_what_each_task_takes(scenes_file):
    shown = show_text("joint_retrieval", dataset=scenes_file)
    for word in ("shared: ", "encoders.image", "captioning: ", "retrieval", "0.8 vqa", "alone"):
        assert word in shown
    assert shown == show_text("joint_retrieval", task="vqa", dataset=scenes_file)
    with pytest.raises(MMBenchError, match="and not for generation"):
        show_text("joint_retrieval", task="generation", dataset=scenes_file)


def test_a_probe_reads_an_encoder_of_several_tasks(trained, scenes_file, monkeypatch):
    results, _ = trained
    weights = results["vqa"].path / "weights.safetensors"
    found = mmbench.probe(str(weights), scenes_file, "count", out=None)
    assert found.weights == read_header(weights).sha256
    assert len(found.probes) == 3


@pytest.mark.parametrize("fusion", ["gated", "merged_attention", "cross_attention"])
def test_a_shared_fusion_takes_what_a_model_lacks_as_missing(fusion):
    from mmbench.sharing import SharedFusion
    from mmbench.zoo.stream import Stream

    torch.manual_seed(0)
    cls = registry.load("fusions", fusion)
    whole = cls(16, ("audio", "image", "text")).eval()
    one = SharedFusion(cls, 16, ("text",)).eval()
    one.share(whole)
    query, text = Stream.whole(torch.randn(2, 4, 16)), Stream.whole(torch.randn(2, 3, 16))
    fused = one(query, [text], causal=True)
    direct = whole(query, [None, None, text], causal=True)
    assert torch.equal(fused.stream.tokens, direct.stream.tokens)
    if direct.shares is not None:
        assert fused.shares.shape[-1] == 2
        torch.testing.assert_close(fused.shares.sum(-1), torch.ones(2, 4))
    state = one.begin(2, torch.device("cpu"), [text])
    steps = []
    for place in range(4):
        step, state = one.step(Stream.whole(query.tokens[:, place : place + 1]), state, [text])
        steps.append(step.stream.tokens)
    torch.testing.assert_close(torch.cat(steps, 1), fused.stream.tokens, atol=1e-5, rtol=1e-4)


BOTH = {"vqa": 1, "captioning": 1}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "joint"}, "with generation not asked for"),
        ({"model": "joint", "tasks": [*TASKS, "generation"]}, "retrieval not among them"),
        ({"overrides": joint_stage({"vqa": 0, "captioning": 1})}, "weight must be greater than 0"),
        ({"overrides": joint_stage({"vqa": -1, "captioning": 1})}, "weight must be greater than 0"),
        ({"overrides": joint_stage({"vqa": float("inf"), "captioning": 1})}, "a finite number"),
        ({"overrides": joint_stage({"vqa": 1e-9, "captioning": 1})}, "leaves it no step"),
        ({"overrides": joint_stage({"vqaa": 1, "captioning": 1})}, "Did you mean vqa"),
        ({"overrides": joint_stage({"simclr": 1, "vqa": 1})}, "a stage of its own"),
        ({"overrides": joint_stage({"vqa": 1})}, "names one task alone"),
        ({"overrides": joint_stage(BOTH, trains=["encoder"])}, "Did you mean encoders"),
        ({"overrides": joint_stage(BOTH, trains=["encoders"], freezes=["encoders.i"])}, "encoders"),
        ({"overrides": {"stages": [{"name": "a", "objective": "task"}]}}, "minimises task"),
        ({"overrides": joint_stage(BOTH, data={"task": "captioning"})}, "drop data.task"),
        ({"overrides": joint_stage(BOTH, data={"share": 1e-9})}, "leaves none: raise data.share"),
        ({"overrides": {"balance": "ogm_ge"}}, "changes the gradients of one task"),
        ({"overrides": {"train.choose_by": "accuracy"}}, "cannot choose the epoch of several"),
        ({"overrides": {"fusion": "late_mean"}}, "joins the decisions"),
        ({"model": "mcan_fusion"}, "MCANFusion cannot be causal"),
        ({"model": "majority", "overrides": {}}, "is not trained"),
        ({"tasks": ["vqa", "vqa"]}, "names vqa twice"),
        ({"tasks": ["vqa", "captionin"]}, "Did you mean captioning"),
        ({"dataset": "easy_vqa"}, "for the task vqa, not captioning"),
        ({"dataset": "a,b,c"}, "names 3 and task= 2"),
        ({"compile": True}, "leave it off"),
    ],
)
def test_what_cannot_be_trained_together_is_refused_in_one_line(together, tmp_path, options, says):
    if options.get("model") == "majority":
        monkey = {"width": 128, "train.epochs": 16, "train.batch": 64}
        options = options | {"overrides": monkey}
    with pytest.raises(MMBenchError, match=says) as error:
        together(tmp_path, **options)
    assert "\n" not in str(error.value)
    assert not [*tmp_path.rglob("run.json")]


def test_datasets_that_one_encoder_cannot_read_are_refused(together, scenes_file, tmp_path):
    larger = Path(tmp_path, "larger.yaml")
    text = Path(scenes_file).read_text()
    larger.write_text(text.replace("image_size: 32", "image_size: 64"))
    with pytest.raises(MMBenchError, match="differ in image_size .32; 64."):
        together(tmp_path, dataset=f"{larger},{scenes_file}")
    otherwise = Path(tmp_path, "otherwise.yaml")
    otherwise.write_text(text.replace("channels: [8, 16]", "channels: [4]"))
    with pytest.raises(MMBenchError, match="one encoder for image, and ask for different ones"):
        together(tmp_path, dataset=f"{otherwise},{scenes_file}")
    slow = Path(tmp_path, "slow.yaml")
    slow.write_text(text.replace("  vqa: {}", "  vqa: {train: {lr: 0.5}}"))
    with pytest.raises(MMBenchError, match="different train.lr"):
        together(tmp_path, dataset=f"{slow},{scenes_file}")


def test_one_task_of_a_joint_recipe_is_not_trained_alone(scenes_file, tmp_path):
    with pytest.raises(MMBenchError, match="with captioning and generation not asked for"):
        mmbench.run("vqa", "joint", dataset=scenes_file, train=True, out=tmp_path)
    with pytest.raises(MMBenchError, match="run_together"):
        mmbench.run("vqa,captioning", "joint", dataset=scenes_file, train=True, out=tmp_path)


def test_the_default_dataset_is_one_that_all_tasks_have():
    from mmbench.experiments.joint_plan import requests_of

    found = requests_of(run_request(task="vqa,captioning,generation", model="joint", train=True))
    assert {request.dataset for request in found.values()} == {"scenes"}


@pytest.mark.whole
def test_the_command_prints_a_record_of_each_task(scenes_file, tmp_path, mmbench):
    settings = [f"--set={key}={value}" for key, value in {**QUICK, "train.epochs": 1}.items()]
    model = ["--model", "gated_fusion", "--dataset", scenes_file, "--train", *settings]
    done = mmbench("run", "--task", "vqa,captioning", *model, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert [record["task"] for record in json.loads(done.stdout)] == PAIR
    again = mmbench("run", "--task", "captioning,vqa", *model)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("from the record of") == 2
    wrong = mmbench("run", "--task", "vqa,captioning", *model, "--robustness")
    assert wrong.returncode == 2
    assert "--robustness" in wrong.stderr
