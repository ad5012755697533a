"""Responses that are kept."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from mmbench.cli.cache import list_text
from mmbench.data.cache_contents import entries, prune
from mmbench.data.media import MediaRef, MediaSet
from mmbench.errors import MMBenchError
from mmbench.responses import FOLDER, Response, Responses, media_digest, response_key


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def program(source, *arguments, **options):
    code = "from mmbench.responses import *\n" + textwrap.dedent(source)
    return subprocess.Popen([sys.executable, "-c", code, *arguments], **options)


def test_what_is_kept_is_found_again():
    response = Response("yes", 12, 1, 0.25, "m-1")
    with Responses("m") as kept:
        kept.put("a", response)
        kept.put("b", Response("nö"))
    with Responses("m") as kept:
        assert kept.get(["b", "c", "a", "a"]) == {"a": response, "b": Response("nö")}
    with Responses("m!") as other:
        assert other.get(["a"]) == {}


def test_thousands_are_found_at_once():
    with Responses("m") as kept:
        for number in range(1203):
            kept.put(str(number), Response(str(number)))
        found = kept.get([str(number) for number in range(1203)])
    assert [found[key].written for key in map(str, range(1203))] == list(map(str, range(1203)))


def test_all_that_decides_a_response_is_in_its_key():
    asked = {"messages": ["what?"], "settings": {"temperature": 0.0}, "model": "m", "draw": 0}
    keys = {response_key(**asked | change) for change in ({}, {"draw": 1}, {"model": "n"})}
    assert len(keys) == 3
    assert response_key(**dict(reversed(asked.items()))) in keys


def test_a_medium_is_known_by_its_content_and_not_by_where_it_lies():
    values = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    here, there = MediaSet(values, "here"), MediaSet(values[::-1].copy(), "there")
    first = media_digest(MediaRef(here, "here", 0))
    assert first == media_digest(MediaRef(there, "there", 1))
    assert first != media_digest(MediaRef(here, "here", 1))


def test_a_killed_process_leaves_all_that_it_kept():
    made = program(
        """
        kept = Responses("m")
        for number in range(10_000):
            kept.put(str(number), Response(str(number)))
            print(number, flush=True)
        """,
        stdout=subprocess.PIPE,
        text=True,
    )
    said = [made.stdout.readline() for _ in range(40)]
    made.kill()
    last = int((said + made.stdout.read().splitlines(keepends=True))[-1])
    assert made.wait() == -signal.SIGKILL
    with Responses("m") as kept:
        assert len(kept.get([str(number) for number in range(last + 1)])) == last + 1


def test_several_processes_keep_in_one_place_at_once():
    code = """
        import sys
        with Responses("m") as kept:
            for number in range(200):
                kept.put(f"{sys.argv[1]} {number}", Response(sys.argv[1]))
        """
    for made in [program(code, name) for name in "ab"]:
        assert made.wait() == 0
    with Responses("m") as kept:
        assert len(kept.get([f"{name} {n}" for name in "ab" for n in range(200)])) == 400


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of a process are of POSIX")
def test_a_full_disk_is_told_in_a_line_and_what_was_kept_stays():
    made = program(
        """
        import resource
        with Responses("m") as kept:
            kept.put("first", Response("yes"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            try:
                for number in range(1000):
                    kept.put(str(number), Response("long " * 100))
            except MMBenchError as error:
                print(error)
        """,
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = made.communicate()
    assert "cannot be read or written" in said
    assert "Make room there" in said
    assert said.count("\n") == 1
    with Responses("m") as kept:
        assert kept.get(["first", "0"]) == {
            "first": Response("yes"),
            "0": Response("long " * 100),
        }


def test_what_is_no_database_is_told_and_not_removed(cache):
    with Responses("m") as kept:
        folder = kept.folder
    file = folder / "responses.sqlite"
    for path in folder.iterdir():
        path.unlink()
    file.write_bytes(b"no database " * 500)
    with pytest.raises(MMBenchError, match="not a database.*move the folder away") as error:
        Responses("m")
    assert "\n" not in str(error.value)
    assert file.read_bytes() == b"no database " * 500


def test_the_cache_lists_and_prunes_responses():
    with Responses("org/model") as kept:
        kept.put("a", Response("yes"))
    [entry] = [entry for entry in entries() if entry.kind == FOLDER]
    assert "org-model" in entry.path.name
    assert entry.size > 0
    assert FOLDER in list_text([FOLDER])
    prune([entry])
    with Responses("org/model") as kept:
        assert kept.get(["a"]) == {}
