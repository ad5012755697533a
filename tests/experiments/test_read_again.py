"""Answers read otherwise off what a model wrote, which is not asked again."""

import json
import os

import pytest

import mmbench as library
from mmbench.experiments.rescore import verify_records
from mmbench.experiments.result import RunResult
from tests.predictors.chat_server import ChatServer, words_of


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A run of a server that writes sentences and fails at one question, and what asks it again."""
    out = tmp_path_factory.mktemp("out")
    settings = {"limit": 30, "out": out, "device": "cpu", "allow_failed": True}

    def fault(body, before):
        return (400, {}, b"{}") if "triangle" in words_of(body) else None

    name = f"openai:sentences-{os.getpid()}"
    with ChatServer(lambda body: "I think that it is: yes, it is", fault) as server:
        overrides = {"base_url": server.url}

        def again(**more):
            return library.run("vqa", name, overrides=overrides | more, **settings)

        yield again(), again, server


def test_answers_are_read_again_off_what_was_written_without_the_model(asked, mmbench):
    first, again, server = asked
    requests = len(server.bodies)
    reads = r"pattern is: (\w+)"
    command = ("score", "--record", str(first.path), "--allow-failed")
    done = mmbench(*command, "--reads", reads, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert len(server.bodies) == requests
    assert record["unanswered"] == first.record.unanswered != {}
    assert record["recipe"]["predictor"]["options"]["reads"] == reads
    table = table_of(first.path.parents[1], record)
    answered = table[table["failure"].isna()]
    assert set(answered["prediction"]) == {"yes"}
    right = [target == "yes" for target in answered["target"]]
    assert record["metrics"][0]["value"] == pytest.approx(sum(right) / len(right))
    assert first.value == 0
    assert all(problem is None for _, problem in verify_records([first.path.parents[1]]))
    found = again(reads=reads)
    assert found.record.hash[:8] in str(found.path)
    assert found.record.identity.model_dump(mode="json") == record["identity"]


def table_of(model, record):
    [folder] = [
        file.parent
        for file in model.rglob("run.json")
        if json.loads(file.read_text())["content"] == record["content"]
    ]
    return RunResult.predictions_in(folder)


def test_what_cannot_be_read_again_is_one_line(asked, mmbench, tmp_path):
    first, *_ = asked
    plain = of_majority(tmp_path)
    for arguments, words in (
        (("--record", str(first.path)), "as 'answer' already"),
        (("--record", str(first.path), "--reads", "pattern x"), "needs a group"),
        (("--record", str(plain)), "nothing that its model wrote"),
        (("--record", str(tmp_path / "none")), "no such path"),
        (("--reads", "line"), "--record"),
    ):
        done = mmbench("score", *arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def of_majority(out):
    return library.run("vqa", "majority", limit=20, out=out, device="cpu").path
