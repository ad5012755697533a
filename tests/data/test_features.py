"""Kept features: found again by content, shared, whole or absent."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from mmbench.data.features import FeatureCache
from mmbench.data.media import MediaRef, MediaSet
from mmbench.data.reading import reporting_to
from mmbench.errors import MMBenchError
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path))


class Lengths:
    """As many rows as a text has words, all of its number of letters; counts what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        for text in texts:
            self.asked.append(text)
            yield np.full((len(text.split()), 3), len(text), np.float16)


TEXTS = ["a dog", "one", "a dog in the grass"]


def filled(compute=None, maker="net-1", texts=TEXTS):
    cache = FeatureCache(maker)
    cache.add(texts, compute or Lengths(), "features")
    return cache


def test_rows_are_padded_behind_their_last_token():
    cache = filled()
    found, mask = cache.rows(["one", "a dog in the grass", "a dog"])
    assert found.dtype == np.float16
    assert found.shape == (3, 5, 3)
    assert mask.sum(1).tolist() == [1, 5, 2]
    assert (found != 0).all(2).tolist() == mask.tolist()
    assert found[:, 0, 0].tolist() == [3, 18, 5]
    assert cache.rows(["one", "a dog"])[0].shape == (2, 2, 3)


def test_a_feature_that_is_not_a_number_is_not_taken_for_a_missing_token():
    def broken(texts):
        return [np.full((2, 3), np.nan, np.float16) for _ in texts]

    found, mask = filled(broken).rows(["one"])
    assert np.isnan(found).all()
    assert mask.all()


def test_pooled_features_are_kept_in_float32():
    def thirds(texts):
        return [np.full((1, 3), 1 / 3, np.float32) for _ in texts]

    cache = FeatureCache("net-1-mean", np.float32)
    cache.add(TEXTS, thirds, "features")
    again = FeatureCache("net-1-mean", np.float32)
    again.add(TEXTS, lambda _: pytest.fail("computed again"), "features")
    found, mask = again.rows(TEXTS)
    assert found.dtype == np.float32
    assert (found == np.float32(1 / 3)).all()
    assert mask.shape == (3, 1)


def test_only_what_is_not_there_is_computed():
    filled()
    again = Lengths()
    cache = filled(again, texts=["one", "a cat", "a dog"])
    assert again.asked == ["a cat"]
    assert cache.rows(["a cat"])[0][0, 0, 0] == 5
    assert not cache.holds(["one", "never seen"])
    other = Lengths()
    filled(other, maker="net-2")
    assert sorted(other.asked) == sorted(TEXTS)


def test_media_are_known_by_their_sets_content_and_their_place():
    def red(refs):
        return [ref.array()[:1, :1, 0] for ref in refs]

    values = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    one, two = MediaSet(values, "digest of these"), MediaSet(values + 100, "digest of those")
    cache = FeatureCache("net")
    cache.add([MediaRef(one, one.digest, row) for row in (0, 1)], red, "features")
    moved = MediaRef(MediaSet(values.copy(), one.digest), one.digest, 1)
    assert cache.rows([moved])[0].item() == 12
    changed = MediaRef(two, two.digest, 1)
    assert not cache.holds([changed])
    cache.add([changed], red, "features")
    assert cache.rows([changed])[0].item() == 112


def test_another_process_finds_them_memory_mapped():
    filled()
    cache = FeatureCache("net-1")
    cache.add(TEXTS, lambda _: pytest.fail("computed again"), "features")
    assert all(isinstance(tokens.base, np.memmap) for tokens in cache._tokens.values())
    assert cache.rows(["one"])[0].tolist() == [[[3, 3, 3]]]


@pytest.mark.parametrize("name", ["keys.npy", "ends.npy", "tokens.npy"])
@pytest.mark.parametrize("how", ["truncated", "empty", "absent", "another", "zeros", "a folder"])
def test_a_broken_block_is_computed_anew_with_one_line(name, how, caplog):
    cache = filled()
    [block] = cache.folder.iterdir()
    path = block / name
    if how == "absent":
        path.unlink()
    elif how == "another":
        np.save(path, np.zeros((99, 3), np.float16))
    elif how == "zeros":
        path.write_bytes(path.read_bytes()[:128].ljust(path.stat().st_size, b"\0"))
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(path.read_bytes()[:-2] if how == "truncated" else b"")
    again = Lengths()
    assert filled(again).rows(["one"])[0].tolist() == [[[3, 3, 3]]]
    assert sorted(again.asked) == sorted(TEXTS)
    [line] = caplog.messages
    assert str(block) in line
    assert "made anew" in line
    assert filled(lambda _: pytest.fail("computed a third time")).holds(TEXTS)


KILLED = """
import os, signal, sys
import numpy as np
from mmbench.data import features
features._BLOCK = 2
def compute(texts):
    for text in texts:
        if text == "stop":
            os.kill(os.getpid(), signal.SIGKILL)
        yield np.ones((1, 3), np.float16)
features.FeatureCache("net").add(["a", "b", "cc", "stop", "longer"], compute, "features")
"""


def test_a_killed_computation_goes_on_after_its_last_whole_block():
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    again = Lengths()
    cache = filled(again, "net", ["a", "b", "cc", "stop", "longer"])
    assert again.asked == ["cc", "stop", "longer"]
    assert cache.holds(["a", "b", "cc", "stop", "longer"])


def test_an_interrupted_block_leaves_nothing():
    def compute(texts):
        yield np.ones((1, 3))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled(compute)
    assert not FeatureCache("net-1").folder.exists()


def test_progress_is_told_of_every_value(monkeypatch):
    monkeypatch.setattr("mmbench.data.features._BLOCK", 2)
    told = []
    with reporting_to(lambda *what: told.append(what)):
        filled()
        filled()
    assert told == [("features", done, 3) for done in (0, 1, 2, 2, 3)]


def test_many_values_make_few_blocks(monkeypatch):
    monkeypatch.setattr("mmbench.data.features._BLOCK", 1)
    monkeypatch.setattr("mmbench.data.features._BLOCKS", 4)
    cache = filled(texts=[f"text {n}" for n in range(30)])
    assert len(list(cache.folder.iterdir())) == 4
    assert cache.holds(["text 0", "text 29"])


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(MMBenchError, match="cannot write the cache .*set MMBENCH_CACHE"):
        filled()
