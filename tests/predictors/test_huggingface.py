"""Checkpoints of transformers as models: asked as they are by transformers itself."""

import shutil
from importlib.util import find_spec

import numpy as np
import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.data.media import MediaRef, MediaSet
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.predictors.huggingface import HuggingFace
from mmbench.zoo.words import IMAGE_PLACE
from tests.tiny_checkpoints import save_checkpoint
from tests.tiny_clip import save_clip
from tests.tiny_llava import save_llava


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return save_llava(tmp_path_factory.mktemp("models") / "llava")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "clip"
    folder.mkdir()
    return save_clip(folder)


def queries_of(task, dataset, count):
    task = registry.load("tasks", task)()
    spec = task.dataset(dataset)
    return task.load(spec, spec.evaluate_on).limited(count, task.limit_groups).queries


def test_answers_are_those_of_transformers_asked_one_by_one(llava):
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    queries = queries_of("vqa", "easy_vqa", 7)
    predictor = HuggingFace(llava, "text", "cpu", prompt="{text} ?", max_new_tokens=6, batch=3)
    answers = list(predictor.predict(queries))
    model = LlavaForConditionalGeneration.from_pretrained(llava)
    processor = AutoProcessor.from_pretrained(llava)
    written = []
    for query in queries:
        image = {"type": "image", "image": query.inputs["image"].pil()}
        words = {"type": "text", "text": query.inputs["text"] + " ?"}
        asked = processor.apply_chat_template(
            [{"role": "user", "content": [image, words]}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        tokens = model.generate(**asked, max_new_tokens=6, do_sample=False)
        new = tokens[:, asked["input_ids"].shape[1] :]
        written += processor.batch_decode(new, skip_special_tokens=True)
    assert [answer.written for answer in answers] == written
    assert [answer.value for answer in answers] == [text.strip() for text in written]
    assert len(set(written)) > 1


def test_a_query_about_several_images_or_none_is_answered_as_if_alone(llava):
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    media = MediaSet(images, "made")
    shown = [MediaRef(media, "made", row) for row in range(6)]
    place = f"{IMAGE_PLACE} is red . {IMAGE_PLACE} is blue . what is {IMAGE_PLACE} ?"
    about = [(tuple(shown[:2]), "what color ?"), (shown[2], "is it red ?"), (None, "is it red ?")]
    about += [(tuple(shown[3:]), place), (tuple(shown[:3]), place)]
    inputs = [({"image": image} if image else {}) | {"text": text} for image, text in about]
    queries = [Query(f"q{place}", each) for place, each in enumerate(inputs)]
    options = {"prompt": "{text}", "max_new_tokens": 6, "anew": True}

    def written(batch, queries):
        answers = HuggingFace(llava, "text", "cpu", batch=batch, **options).predict(queries)
        return [answer.written for answer in answers]

    alone = written(1, queries)
    assert written(5, queries) == alone
    assert written(2, queries) == alone
    assert len({alone[1], alone[2]}) == 2  # the image counts
    assert len(set(alone)) > 3


def test_a_folder_is_a_model_with_a_record_that_keeps_what_was_written(llava, tmp_path):
    asked = {"limit": 6, "out": tmp_path, "overrides": {"max_new_tokens": 4}}
    result = mmbench.run("vqa", f"hf:{llava}", **asked)
    record = result.record
    assert record.model == "hf:llava"
    assert sum(record.parameters.values()) > 1000
    assert "sha256" in " ".join(record.notes)
    options = record.recipe["predictor"]["options"]
    assert options["prompt"].startswith("{text}")
    assert options["reads"] == "answer"
    table = result.predictions()
    assert list(table["prediction"]) == [w.strip().lower() for w in table["written"]]
    assert mmbench.run("vqa", f"hf:{llava}", **asked).reused
    other = {**asked, "overrides": {"max_new_tokens": 4, "prompt": "{text} ?"}}
    assert mmbench.run("vqa", f"hf:{llava}", **other).record.hash != record.hash


def test_what_it_is_decides_its_identity_and_not_where_it_lies(llava, tmp_path):
    moved = shutil.copytree(llava, tmp_path / "elsewhere")
    asked = {"limit": 2, "overrides": {"max_new_tokens": 1}}
    first = mmbench.run("vqa", f"hf:{llava}", out=tmp_path / "a", **asked)
    same = mmbench.run("vqa", f"hf:{moved}", out=tmp_path / "b", **asked)
    assert same.record.hash == first.record.hash
    (moved / "chat_template.jinja").write_text("{{ messages[0]['content'][1]['text'] }} <image>")
    other = mmbench.run("vqa", f"hf:{moved}", out=tmp_path / "c", **asked)
    assert other.record.hash != first.record.hash


def test_a_run_that_is_cut_off_goes_on_with_whole_batches(llava):
    queries = queries_of("vqa", "easy_vqa", 10)
    options = {"prompt": "{text} Now", "max_new_tokens": 3, "batch": 4}
    model = HuggingFace(llava, "text", "cpu", **options)
    whole = [
        answer.written
        for answer in HuggingFace(llava, "text", "cpu", **options | {"anew": True}).predict(queries)
    ]
    assert model.notes() == []
    again = HuggingFace(llava, "text", "cpu", **options)
    assert [answer.written for answer in again.predict(queries)] == whole
    assert "10 of 10 answers were kept" in again.notes()[0]

    def asked(predictor, queries):
        """How many batches a network is given."""
        batches = []
        network = predictor._model.network
        generate = network.generate
        network.generate = lambda **given: batches.append(given) or generate(**given)
        return [answer.written for answer in predictor.predict(queries)], len(batches)

    more = queries_of("vqa", "easy_vqa", 14)
    found, batches = asked(HuggingFace(llava, "text", "cpu", **options), more)
    assert batches == 2  # the third, which is another one now, and the fourth
    assert found[:8] == whole[:8]
    options["prompt"] = "{text} Then"
    stopped = iter(HuggingFace(llava, "text", "cpu", **options).predict(queries))
    next(stopped)
    stopped.close()
    assert asked(HuggingFace(llava, "text", "cpu", **options), queries)[1] == 2


def test_a_dual_encoder_is_ranked_by_its_own_embeddings(clip, tmp_path):
    from transformers import CLIPModel, CLIPProcessor

    result = mmbench.run("retrieval", f"hf:{clip}", limit=8, out=tmp_path)
    queries = queries_of("retrieval", "scenes", 8)
    images = [query.inputs["image"].pil() for query in queries if "image" in query.inputs]
    texts = [query.inputs["text"] for query in queries if "text" in query.inputs]
    processor = CLIPProcessor.from_pretrained(clip)
    inputs = processor(
        text=texts,
        images=images,
        return_tensors="pt",
        padding=True,
        truncation=True,
        max_length=40,
    )
    with torch.no_grad():
        scores = CLIPModel.from_pretrained(clip)(**inputs).logits_per_text.numpy()
    right = np.arange(len(texts)) // (len(texts) // len(images))
    ranks = (scores > scores[np.arange(len(texts)), right][:, None]).sum(1)
    found = {entry.name: entry.value for entry in result.record.metrics}
    assert found["text_to_image_recall_at_1"] == pytest.approx((ranks < 1).mean())
    assert found["text_to_image_recall_at_5"] == pytest.approx((ranks < 5).mean())


@pytest.mark.parametrize(
    ("task", "kind", "options", "says"),
    [
        ("captioning", "clip", {}, "type clip.*does not load as a model that writes text"),
        ("retrieval", "bert", {}, "type bert.*does not load as a model that embeds"),
        ("vqa", "untold", {}, "no chat template"),
        ("vqa", "llava", {"dtype": "int4"}, "dtype must be 'auto', 'float32'"),
        ("vqa", "llava", {"max_token": 3}, "no option 'max_token'.*Did you mean"),
        ("vqa", "llava", {"batch": 0}, "batch must be at least 1"),
        ("vqa", "llava", {"prompt": "{txt}"}, "no place {txt}.*Did you mean text"),
        ("vqa", "llava", {"reads": "patern (.*)"}, "must be text, line"),
        ("vqa", "llava", {"steps": 3}, "steps decides nothing where answers are text"),
        ("retrieval", "clip", {"max_new_tokens": 3}, "max_new_tokens decides nothing"),
        ("generation", "llava", {}, "of type llava, and no pipeline of diffusers"),
    ],
)
def test_what_cannot_be_asked_is_refused(task, kind, options, says, llava, clip, tmp_path):
    folder = {"llava": llava, "clip": clip}.get(kind, tmp_path / kind)
    if kind == "bert":
        save_checkpoint("bert", folder)
    if kind == "untold":
        save_llava(folder, template=None)
    with pytest.raises(MMBenchError, match=says) as error:
        mmbench.run(task, f"hf:{folder}", overrides=options, limit=2, out=tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").rglob("run.json"))


@pytest.mark.skipif(find_spec("torchaudio") is not None, reason="torchaudio is there")
def test_a_library_that_a_network_needs_is_named(llava, tmp_path):
    folder = shutil.copytree(llava, tmp_path / "model")
    config = '{"model_type": "higgs_audio_v2_tokenizer"}'
    (folder / "config.json").write_text(config)
    with pytest.raises(MMBenchError, match="torchaudio|configuration cannot be read") as error:
        mmbench.run("retrieval", f"hf:{folder}", limit=2, out=tmp_path / "out")
    assert "\n" not in str(error.value)


def test_how_it_is_named_and_asked_is_shown(mmbench):
    assert "hf:PRETRAINED[@REVISION]" in mmbench("list", "models").stdout
    shown = mmbench("show", "scienceqa").stdout
    assert "{choices}" in shown
    assert "read as: choice" in shown


def test_a_name_without_a_model_and_a_hub_out_of_reach_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MMBenchError, match=r"names no model: it is hf:PRETRAINED\[@REVISION\]"):
        mmbench.run("vqa", "hf:", out=tmp_path)
    with pytest.raises(MMBenchError, match="nobody/nothing at revision v1 is not in the hub's"):
        mmbench.run("vqa", "hf:nobody/nothing@v1", out=tmp_path)
