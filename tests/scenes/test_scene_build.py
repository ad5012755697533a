import shutil
import subprocess
import sys

import numpy as np
import pytest

from mmbench.errors import MMBenchError
from mmbench.scenes import store
from mmbench.scenes.audio import SOUND_SPLITS
from mmbench.scenes.build import (
    load_scenes,
    load_sounds,
    load_videos,
    scene_pictures,
    scene_text,
    sound_content,
    video_content,
)
from mmbench.scenes.facts import check
from mmbench.scenes.video import VIDEO_SPLITS
from mmbench.scenes.world import SPLITS

# Of all content. Whoever changes one must raise VERSION in mmbench/scenes/store.py.
DIGESTS = {
    ("scenes", "train"): "7ad9508b4a24e2ac",
    ("scenes", "validation"): "e6df66dfaf52faee",
    ("scenes", "test"): "d65e42a0f415125c",
    ("scenes", "compositional"): "7cc4ec89fbd84aef",
    ("scenes_video", "train"): "b6f1d3a837096ed1",
    ("scenes_video", "validation"): "1322d01cd441949e",
    ("scenes_video", "test"): "c3f5417100c6ac02",
    ("scenes_audio", "train"): "cb156cf1aa296cfb",
    ("scenes_audio", "validation"): "24b9a5a7c75057d8",
    ("scenes_audio", "test"): "64596cd96fe3e620",
}
LOADERS = {
    "scenes": (load_scenes, SPLITS),
    "scenes_video": (load_videos, VIDEO_SPLITS),
    "scenes_audio": (load_sounds, SOUND_SPLITS),
}


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache folder of the test's own; what is stored there."""
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    yield lambda: sorted(path for path in (tmp_path / "cache").glob("scenes/*/*"))
    for path in (tmp_path / "cache").glob("scenes/*/*/*"):
        path.unlink()  # hundreds of megabytes, which pytest would keep


@pytest.mark.whole
@pytest.mark.parametrize(("dataset", "split"), DIGESTS)
def test_whole_splits_are_the_same_bytes_on_every_machine(dataset, split, own_cache):
    load, splits = LOADERS[dataset]
    made = load(split)
    assert len(made) == len(made.texts) == splits[split]
    assert made.digest[:16] == DIGESTS[dataset, split]


def test_a_split_holds_what_its_generators_make(own_cache):
    some = np.arange(720, 760)
    scenes, text = load_scenes("test"), scene_text("test", some)
    np.testing.assert_array_equal(scenes.pixels[some], scene_pictures("test", 64, some)["pixels"])
    assert scenes.texts[720:760] == text["texts"]
    assert scenes.questions[720:760] == text["questions"]
    assert scenes.objects[720:760] == text["objects"]
    videos, sounds = load_videos("test"), load_sounds("test")
    made = video_content("test", some)
    np.testing.assert_array_equal(videos.pixels[some], made["pixels"])
    assert [[c.claims for c in told] for told in videos.captions[720:760]] == made["claims"]
    made = sound_content("test", some)
    np.testing.assert_array_equal(sounds.waves[some], made["waves"])
    assert [[c.claims for c in told] for told in sounds.captions[720:760]] == made["claims"]
    assert [[c.text for c in told] for told in sounds.captions] == sounds.texts
    assert sounds.waves.shape[1] == 2 * sounds.RATE


def test_loaded_captions_have_claims_that_the_loaded_objects_bear_out(own_cache):
    scenes = load_scenes("validation")
    for told, objects in zip(scenes.captions[:300], scenes.objects, strict=False):
        for caption in told:
            assert all(a == b for a, b in check(caption.claims, objects).values())


def test_a_split_is_made_once(own_cache):
    steps = []
    first = load_scenes("test", advanced=lambda *step: steps.append(step))
    assert steps[0] == (250, 4000)
    assert steps[-1] == (4000, 4000)
    stamps = [path.stat().st_mtime_ns for path in own_cache()]
    again = load_scenes("test", advanced=lambda *step: pytest.fail("made again"))
    assert [path.stat().st_mtime_ns for path in own_cache()] == stamps
    assert again.digest == first.digest
    assert isinstance(again.pixels.base, np.memmap)
    before = again.pixels[0].copy()
    again.pixels[0] ^= 255  # as an encoder might that changes its input: no file has it
    assert [path.stat().st_mtime_ns for path in own_cache()] == stamps
    np.testing.assert_array_equal(load_scenes("test").pixels[0], before)


def test_another_size_shares_the_text(own_cache):
    large = load_scenes("test")
    steps = []
    small = load_scenes("test", 32, lambda *step: steps.append(step))
    assert steps[-1] == (2000, 2000)
    assert small.pixels.shape == (2000, 32, 32, 3)
    assert len(own_cache()) == 3
    assert small.digest != large.digest
    assert small.pixels_digest != large.pixels_digest


def test_an_interrupted_split_leaves_nothing(own_cache):
    def interrupt(done, total):
        if done >= 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_sounds("test", interrupt)
    assert own_cache() == []


HARM = ["a file is gone", "a file is cut", "zeros", "no description", "another", "deep", "a file"]


@pytest.mark.parametrize("harm", HARM)
def test_half_a_split_is_made_again_with_one_line(own_cache, harm, caplog):
    whole = load_sounds("test")
    waves = np.array(whole.waves)
    (folder,) = own_cache()
    if harm == "a file is gone":
        (folder / "texts.json").unlink()
    elif harm == "a file is cut":
        content = (folder / "waves.npy").read_bytes()
        (folder / "waves.npy").unlink()
        (folder / "waves.npy").write_bytes(content[:100_000])
    elif harm == "zeros":
        content = (folder / "waves.npy").read_bytes()
        (folder / "waves.npy").unlink()
        (folder / "waves.npy").write_bytes(content[:-9999] + b"\0" * 9999)
    elif harm == "a file":
        shutil.rmtree(folder)
        folder.write_text("")
    else:
        text = {"no description": "{", "another": '{"digests": {}}', "deep": "[" * 99_999}[harm]
        (folder / "part.json").write_text(text)
    again = load_sounds("test")
    assert again.digest == whole.digest
    np.testing.assert_array_equal(again.waves, waves)
    assert own_cache() == [folder]
    [line] = caplog.messages
    assert str(folder) in line
    assert "made anew" in line


def test_another_version_of_the_generator_has_its_own_cache(own_cache, monkeypatch):
    load_sounds("validation")
    monkeypatch.setattr(store, "VERSION", "another")
    load_sounds("validation")
    assert len(own_cache()) == 2


def test_two_processes_may_make_a_split_at_the_same_time(own_cache):
    code = "from mmbench.scenes.build import load_sounds; print(load_sounds('test').digest)"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)
    ]
    digests = [process.communicate()[0] for process in processes]
    assert digests[0] == digests[1] != b""
    assert len(own_cache()) == 1


def test_an_unwritable_cache_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(MMBenchError, match="set MMBENCH_CACHE to another folder"):
        load_sounds("test")


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(own_cache):
    code = """
import resource
from mmbench.scenes.build import MMBenchError, load_sounds
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    load_sounds("test")
except MMBenchError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cannot write the cache")
    assert "Make room there" in done.stdout
    assert done.stdout.count("\n") == 1
    assert own_cache() == []


@pytest.mark.parametrize("dataset", LOADERS)
def test_a_split_that_does_not_exist_is_refused_with_those_that_do(dataset):
    load, splits = LOADERS[dataset]
    with pytest.raises(MMBenchError, match=rf"{dataset} has no split 'tset'\. Did you mean test\?"):
        load("tset")
    with pytest.raises(MMBenchError, match=", ".join(splits)):
        load("dev")
