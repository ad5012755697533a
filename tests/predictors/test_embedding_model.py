"""Dual encoders of sounds and of videos: embedded as transformers does, in whichever batch."""

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

import mmbench
from mmbench.data.media import MediaRef, MediaSet
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.predictors.huggingface import HuggingFace
from tests.tiny_clip import save_clip
from tests.tiny_dual_encoders import save_clap, save_xclip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    made = {"clap": save_clap, "xclip": save_xclip, "clip": save_clip}
    made |= {"clap_cuts": lambda to: save_clap(to, truncation="rand_trunc")}
    for name in made:
        (folder / name).mkdir()
    return {name: save(folder / name) for name, save in made.items()}


def about(kind, values, rate=None):
    """A query for each medium."""
    media = MediaSet(values, "made", rate)
    refs = [MediaRef(media, "made", row) for row in range(len(values))]
    return [Query(f"q{row}", {kind: ref}) for row, ref in enumerate(refs)]


def embedded(folder, queries, **options):
    predictor = HuggingFace(folder, "embeddings or scores", "cpu", **options)
    return np.stack([answer.value for answer in predictor.predict(queries)])


def sounds(count, seconds, rate=8000):
    draw = np.random.default_rng(0)
    return draw.integers(-(2**14), 2**14, (count, int(seconds * rate)), np.int16)


def test_sounds_are_heard_at_the_checkpoints_rate(folders):
    from transformers import ClapModel, ClapProcessor

    waves = sounds(3, 0.6)
    found = embedded(folders["clap_cuts"], about("audio", waves, 8000), batch=2)
    heard = [resample_poly(wave / 32768, 2, 1) for wave in waves]
    inputs = ClapProcessor.from_pretrained(folders["clap_cuts"])(
        audio=heard, sampling_rate=16_000, return_tensors="pt"
    )
    with torch.no_grad():
        model = ClapModel.from_pretrained(folders["clap_cuts"])
        wanted = model.get_audio_features(**inputs).pooler_output.numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("seconds", [0.5, 1.7])
@pytest.mark.parametrize("kind", ["clap", "clap_cuts"])
def test_what_is_heard_of_a_sound_depends_on_no_other(kind, seconds, folders):
    queries = about("audio", sounds(4, seconds), 8000)
    np.random.seed(1)  # noqa: NPY002 - which CLAP's extractor draws from
    together = embedded(folders[kind], queries)
    drawn = np.random.random()  # noqa: NPY002
    alone = embedded(folders[kind], queries[::-1], batch=1)[::-1]
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-4
    np.random.seed(1)  # noqa: NPY002
    assert np.random.random() == drawn  # noqa: NPY002


def videos(count=3, frames=10):
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (count, frames, 32, 32, 3), np.uint8)


def test_a_model_of_videos_sees_as_many_frames_as_it_was_trained_on(folders):
    from transformers import VideoMAEImageProcessorPil, XCLIPModel

    clips = videos()
    found = embedded(folders["xclip"], about("video", clips), batch=2)
    chosen = [list(clip[[0, 3, 6, 9]]) for clip in clips]
    processor = VideoMAEImageProcessorPil.from_pretrained(folders["xclip"])
    with torch.no_grad():
        model = XCLIPModel.from_pretrained(folders["xclip"])
        inputs = processor(chosen, return_tensors="pt")
        wanted = model.get_video_features(**inputs).pooler_output.numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    short = about("video", clips[:, :2])
    assert embedded(folders["xclip"], short).shape == wanted.shape


def test_a_video_is_the_mean_of_its_frames_to_a_model_of_images(folders):
    clips = videos()
    found = embedded(folders["clip"], about("video", clips), frames=4, batch=2)
    by_frame = embedded(
        folders["clip"], about("image", clips[:, [0, 3, 6, 9]].reshape(-1, 32, 32, 3))
    )
    by_frame /= np.linalg.norm(by_frame, axis=1, keepdims=True)
    np.testing.assert_allclose(found, by_frame.reshape(3, 4, -1).mean(1), atol=1e-5)


def test_a_prompt_is_the_words_around_a_text(folders):
    texts = [Query("a", {"text": "a star"}), Query("b", {"text": "a cross"})]
    around = [Query(each.id, {"text": f"a photo of {each.inputs['text']}"}) for each in texts]
    found = embedded(folders["clip"], texts, prompt="a photo of {text}")
    np.testing.assert_allclose(found, embedded(folders["clip"], around), atol=1e-6)
    assert np.abs(found - embedded(folders["clip"], texts)).max() > 1e-3
    about_media = embedded(folders["clip"], texts, prompt="Describe the {medium}.")
    np.testing.assert_allclose(about_media, embedded(folders["clip"], texts), atol=1e-6)


@pytest.mark.parametrize(
    ("dataset", "kind", "metric"),
    [("scenes_audio", "clap", "text_to_audio"), ("scenes_video", "clip", "text_to_video")],
)
def test_retrieval_of_sounds_and_videos_is_a_run(dataset, kind, metric, folders, tmp_path):
    result = mmbench.run("retrieval", f"hf:{folders[kind]}", dataset=dataset, limit=3, out=tmp_path)
    found = {entry.name: entry.value for entry in result.record.metrics}
    assert found[f"{metric}_recall_at_5"] == 1.0  # of three


@pytest.mark.parametrize(
    ("kind", "dataset", "options", "says"),
    [
        ("clip", "scenes_audio", {}, "of type clip, embeds no audio: name another"),
        ("clap", "scenes_video", {}, "of type clap, embeds no video"),
        ("xclip", "scenes", {}, "of type xclip, embeds no image"),
        ("clip", "scenes_video", {"frames": 0}, "frames must be at least 1"),
    ],
)
def test_a_medium_that_it_does_not_embed_is_told(kind, dataset, options, says, folders, tmp_path):
    asked = {"dataset": dataset, "overrides": options, "limit": 2, "out": tmp_path}
    with pytest.raises(MMBenchError, match=says):
        mmbench.run("retrieval", f"hf:{folders[kind]}", **asked)
