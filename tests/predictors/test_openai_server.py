"""Models behind a server: a real one, which fails as servers do."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from pandas import read_parquet as load

import mmbench
from mmbench import registry
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.predictors.openai_server import OpenAIServer
from mmbench.task import Answer, Failure
from tests.predictors.chat_server import DROP, HANG, ChatServer, completion, image_of, words_of

NUMBERS = itertools.count()
HTML = {"Content-Type": "text/html"}


@pytest.fixture
def model():
    """A name of its own, of which nothing is kept."""
    return f"served-{os.getpid()}-{next(NUMBERS)}"


def texts(count):
    return [Query(str(number), {"text": f"question {number}"}) for number in range(count)]


def asked(model, server, queries, **options):
    url = server if isinstance(server, str) else server.url
    options = {"retry_wait": 0.001, "timeout": 30.0} | options
    return list(OpenAIServer(model, "text", base_url=url, **options).predict(queries))


def reasons(given):
    return [each.reason for each in given if isinstance(each, Failure)]


def error_body(message):
    return json.dumps({"error": {"message": message}}).encode()


def test_a_server_is_asked_by_prompt_about_the_very_pixels(model):
    task = registry.load("tasks", "vqa")()
    queries = task.load(task.dataset("easy_vqa"), "test").limited(30, False).queries
    pixels = {f"{q.inputs['text']} Say it": q.inputs["image"].array() for q in queries[:1]}

    def answer(body):
        return f'"{hashlib.sha256(image_of(body).tobytes()).hexdigest()}" {words_of(body)}'

    with ChatServer(answer) as server:
        prompt = {"prompt": "{text} Say it", "max_new_tokens": 5}
        given = asked(model, server, queries, **prompt)
    for query, each in zip(queries, given, strict=True):
        digest = hashlib.sha256(query.inputs["image"].array().tobytes()).hexdigest()
        assert each.written == f'"{digest}" {query.inputs["text"]} Say it'
        assert each.value == each.written
        assert (each.usage.tokens_in, each.usage.tokens_out) == (10, 2) or not each.usage.requests
        assert each.seconds > 0
    body = server.bodies[0]
    assert (body["model"], body["max_tokens"], body["temperature"]) == (model, 5, 0)
    assert len(pixels) == 1


def test_what_was_answered_is_not_asked_again_unless_that_is_wanted(model):
    queries = texts(30)
    with ChatServer(words_of) as server:
        first = asked(model, server, queries)
        assert set(server.asked.values()) == {1}
    again = asked(model, server, queries)  # the server is gone
    assert (
        [a.value for a in again] == [a.value for a in first] == [q.inputs["text"] for q in queries]
    )
    assert all(a.usage.kept and a.usage.requests == 0 for a in again)
    assert again[0].usage.tokens_in == 10
    with ChatServer(words_of) as server:
        asked(model, server, queries, anew=True)
        assert len(server.asked) == 30
        asked(model, server, queries, max_new_tokens=3)
        asked(model, server, queries, prompt="{text}!")
        asked(model, server, queries, revision="of May")
        assert sum(server.asked.values()) == 4 * 30


def test_equal_queries_are_asked_once(model):
    with ChatServer(words_of) as server:
        given = asked(model, server, [*texts(3), *texts(3)])
        assert sum(server.asked.values()) == 3
    assert [a.value for a in given[:3]] == [a.value for a in given[3:]]
    assert sum(a.usage.requests for a in given) == 3
    assert sum(a.usage.tokens_in or 0 for a in given) == 30


def test_draws_differ_at_a_temperature_alone(model):
    with ChatServer() as server:
        for draw in (0, 1):
            asked(model, server, texts(2), draw=draw)
        assert sum(server.asked.values()) == 2
        for draw in (0, 1, 1):
            asked(model, server, texts(2), draw=draw, temperature=0.7)
        assert sum(server.asked.values()) == 2 + 4


def test_failures_that_pass_are_asked_again_when_the_server_says(model):
    def fault(body, before):
        number = int(words_of(body).split()[-1])
        if number % 10 == 0 and before < 2:
            return 429, {"Retry-After": "0.01"}, error_body("slower")
        if number % 10 == 1 and before < 2:
            return 500, {"retry-after-ms": "5"}, b"oops"
        if number % 10 == 2 and before < 1:
            return DROP
        return None

    queries = texts(100)
    with ChatServer(words_of, fault) as server:
        given = asked(model, server, queries)
        assert set(server.answered.values()) == {1}
        assert sum(server.asked.values()) == 100 + 10 * 2 + 10 * 2 + 10
    assert [a.value for a in given] == [q.inputs["text"] for q in queries]
    assert [a.usage.requests for a in given[:4]] == [3, 3, 2, 1]


CUT = completion("yes")[:40]
CHOICE = {"index": 0, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("fault", "reason", "requests"),
    [
        ((200, {}, CUT), "cut off or no JSON", 3),
        (DROP, "connection broke off", 3),
        ((200, HTML, b"<!DOCTYPE html><h1>Welcome</h1>"), "HTML", 1),
        ((200, {}, b"[]"), "without a message", 1),
        ((200, {}, completion("", choices=[])), "without a message", 1),
        ((200, {}, completion("", choices=[CHOICE | {"message": {}}])), "without a text", 1),
        ((200, {}, completion("", choices=[CHOICE | {"message": {"content": 3}}])), "a text", 1),
        ((500, HTML, b"<h1>Error</h1>"), "HTTP 500", 3),
        ((413, {}, error_body("image too large")), "HTTP 413: image too large", 1),
        ((400, {}, error_body("too\nlong")), "HTTP 400: too long", 1),
        ((429, {"Retry-After": "3600"}, b""), "HTTP 429", 1),
        (HANG, "no answer within 0.05 s", 3),
    ],
)
def test_what_is_no_answer_fails_that_query_alone(fault, reason, requests, model):
    def failing(body, _):
        return fault if words_of(body) == "question 3" else None

    timeout = 0.05 if fault == HANG else 30.0
    with ChatServer(words_of, failing) as server:
        queries = texts(6) if fault != HANG else texts(4)
        if fault == HANG:
            asked(model, server, queries[:3])
        given = asked(model, server, queries, retries=2, timeout=timeout)
        assert server.asked["question 3"] == requests
    [told] = reasons(given)
    assert reason in told
    assert "\n" not in told
    assert isinstance(given[3], Failure)
    assert given[3].usage.requests == requests
    with ChatServer(words_of) as server:  # asked again on the next call, and it alone
        assert reasons(asked(model, server, queries)) == []
        assert server.asked == {"question 3": 1}


def test_a_wrong_key_is_told_once_and_never_shown(model, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with ChatServer(key="sk-right") as server:
        with pytest.raises(MMBenchError, match=r"refuses the key \(401\): set OPENAI_API_KEY") as e:
            asked(model, server, texts(500))
        assert sum(server.asked.values()) <= 32  # those that were under way
    assert "secret" not in str(e.value)
    assert "\n" not in str(e.value)


def test_a_key_that_a_server_repeats_is_hidden(model, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    fault = 400, {}, error_body("no account has sk-very-secret")
    with ChatServer(fault=lambda body, _: fault if "1" in words_of(body) else None) as server:
        [reason] = reasons(asked(model, server, texts(3)))
    assert reason == "HTTP 400: no account has ***"


def test_a_model_that_is_not_there_is_told_with_those_that_are(model):
    fault = 404, {}, error_body("The model does not exist")
    with (
        ChatServer(fault=lambda *_: fault) as server,
        pytest.raises(MMBenchError, match=rf"no model '{model}'.*It has served\.") as error,
    ):
        asked(model, server, texts(3))
    assert "\n" not in str(error.value)


def test_a_server_that_is_not_there_is_told(model):
    with ChatServer() as server:
        url = server.url
    with pytest.raises(MMBenchError, match="no server answers at http://127.0.0.1.*start it"):
        asked(model, url, texts(3))


def test_a_server_that_answers_nothing_is_not_asked_everything(model):
    with ChatServer(fault=lambda *_: (200, HTML, b"<h1>Login</h1>")) as server:
        with pytest.raises(MMBenchError, match="first .. queries all failed .*HTML"):
            asked(model, server, texts(1000))
        assert len(server.asked) < 100


def test_a_server_that_dies_leaves_the_rest_unasked(model):
    def fault(body, _):
        return (500, {}, b"") if int(words_of(body).split()[-1]) >= 50 else None

    with ChatServer(words_of, fault) as server:
        given = asked(model, server, texts(600), retries=0, concurrency=4)
        assert len(server.asked) < 120
    assert all(isinstance(each, Answer) for each in given[:50])
    assert {r.split(",")[0] for r in reasons(given)} == {"HTTP 500", "not asked"}


def test_a_budget_of_requests_or_money_is_kept(model):
    with ChatServer() as server:
        given = asked(model, server, texts(50), max_requests=20)
        assert sum(server.asked.values()) == 20
        assert len(reasons(given)) == 30
        assert "budget of 20 requests" in reasons(given)[0]
        prices = {"price_in": 100.0, "price_out": 1000.0}  # an answer costs 0.003
        more = asked(model, server, texts(50), max_cost=0.0301, concurrency=1, **prices)
        assert sum(server.asked.values()) == 30
        assert sum(a.usage.price for a in more if isinstance(a, Answer)) == pytest.approx(0.09)
        assert "budget of 0.0301" in reasons(more)[0]
        assert reasons(asked(model, server, texts(50))) == []
        assert set(server.answered.values()) == {1}


def test_the_length_of_answers_is_called_as_the_server_wants_it(model):
    def fault(body, _):
        told = error_body("Use 'max_completion_tokens' instead.")
        return (400, {}, told) if "max_tokens" in body else None

    with ChatServer(fault=fault) as server:
        assert reasons(asked(model, server, texts(20), extra={"top_p": 0.5})) == []
    assert server.bodies[-1]["max_completion_tokens"] == 32
    assert server.bodies[-1]["top_p"] == 0.5


def test_a_killed_process_is_gone_on_with_where_it_was(model):
    code = """
import sys
from tests.predictors.test_openai_server import asked, texts
asked(sys.argv[1], sys.argv[2], texts(120), concurrency=4)
"""
    made = None

    def answer(body):
        if len(server.answered) == 40:
            made.kill()
        return words_of(body)

    with ChatServer(answer) as server:
        made = subprocess.Popen([sys.executable, "-c", code, model, server.url])
        made.wait()
        assert 36 <= len(server.answered) < 120
        given = asked(model, server, texts(120), concurrency=4)
        kept = [a for a in given if a.usage.kept]
        assert len(kept) >= 36  # all but what was under way
        assert all(server.answered[a.written] == 1 for a in kept)
        assert sum(server.answered.values()) <= 120 + 4
    assert [a.value for a in given] == [q.inputs["text"] for q in texts(120)]


def test_what_is_under_way_when_a_run_is_stopped_is_kept(model):
    stopping = threading.Event()

    def answer(body):
        if words_of(body) != "question 0":
            stopping.wait()
        return words_of(body)

    with ChatServer(answer) as server:
        options = {"base_url": server.url, "concurrency": 4}
        given = iter(OpenAIServer(model, "text", **options).predict(texts(100)))
        assert next(given).value == "question 0"
        stopping.set()
        given.close()
        asked_then = dict(server.asked)
        again = asked(model, server, texts(100), concurrency=4)
    assert 4 <= len(asked_then) < 100
    assert all(each.usage.kept for each in again if each.written in asked_then)


def test_a_run_leaves_what_it_took_and_no_secret(model, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with ChatServer(lambda body: "Yes.", key="sk-very-secret") as server:
        overrides = {"base_url": server.url, "price_in": 1.0, "retry_wait": 0.001}
        settings = {"limit": 60, "out": tmp_path}
        result = mmbench.run("vqa", f"openai:{model}", overrides=overrides, **settings)
    record = result.record
    assert record.model == f"openai:{model}"
    assert set(result.predictions()["prediction"]) == {"yes"}
    assert set(result.predictions()["written"]) == {"Yes."}
    took = record.requests
    assert took.requests == len(server.bodies) <= 60
    assert took.tokens_in == 10 * took.requests
    assert took.price == pytest.approx(took.tokens_in / 1e6)
    assert took.latency_p50 > 0
    assert f"asked at {server.url}, answered by served-1" in record.notes
    assert f"{took.requests:,}, {took.tokens_in:,} tokens in" in str(result)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"secret" not in file.read_bytes()
    moved = overrides | {"base_url": "http://localhost:1/v1", "timeout": 1.0}
    assert mmbench.run("vqa", f"openai:{model}", overrides=moved, **settings).reused
    other = mmbench.run("vqa", f"openai:{model}", overrides=moved, limit=60, out=tmp_path / "b")
    assert other.record.requests.requests == 0
    assert other.record.requests.kept == 60
    assert other.value == result.value
    assert f"openai:{model} " not in mmbench.report(tmp_path / "b", format="csv")
    assert "base_url" not in mmbench.report(tmp_path / "b", format="csv")


def test_a_run_with_failures_asks_these_alone_again(model, tmp_path):
    broken = True

    def fault(body, _):
        digest = image_of(body).tobytes()
        return (400, {}, error_body("bad")) if broken and sum(digest[:400]) % 7 == 0 else None

    with ChatServer(lambda body: "yes", fault) as server:
        settings = {"limit": 300, "out": tmp_path, "overrides": {"base_url": server.url}}
        with pytest.raises(MMBenchError, match="HTTP 400: bad.*allow_failed=True"):
            mmbench.run("vqa", f"openai:{model}", **settings)
        first = len(server.bodies)
        broken = False
        result = mmbench.run("vqa", f"openai:{model}", **settings)
        assert 0 < len(server.bodies) - first < 100
    assert result.record.unanswered == {}
    assert result.record.primary.samples == 300


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"base_url": "localhost:8000"}, "must be a server's address"),
        ({"base_url": "http://me:word@host/v1"}, "no user, password or query"),
        ({"base_url": "http://host/v1?key=word"}, "no user, password or query"),
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"max_cost": 1.0}, "max_cost needs price_in"),
        ({"max_token": 3}, "no option 'max_token'.*Did you mean"),
        ({"reads": "patern (.*)"}, "must be text, line"),
        ({"draw": 1}, "no option 'draw'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, says, model, tmp_path):
    with pytest.raises(MMBenchError, match=says) as error:
        mmbench.run("vqa", f"openai:{model}", overrides=options, limit=2, out=tmp_path)
    assert "word" not in str(error.value).replace("password", "")
    assert not list(tmp_path.rglob("run.json"))


def test_an_address_in_the_environment_is_recorded_without_its_secrets(model, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:word@host:8000/v1?key=word")
    assert OpenAIServer(model, "text").notes() == ["asked at https://host:8000/v1"]


def test_tasks_without_words_for_answers_are_refused(model, tmp_path):
    with pytest.raises(MMBenchError, match="openai answers with text"):
        mmbench.run("retrieval", f"openai:{model}", out=tmp_path)


@pytest.mark.whole
def test_the_command_takes_the_address(model, tmp_path, mmbench):
    with ChatServer(lambda body: "yes") as server:
        done = mmbench(
            *("run", "--task", "vqa", "--model", f"openai:{model}", "--base-url", server.url),
            *("--limit", "20", "--out", str(tmp_path)),
        )
    assert done.returncode == 0, done.stderr
    assert "requests" in done.stdout
    assert np.isfinite(
        json.loads(next(tmp_path.rglob("run.json")).read_text())["metrics"][0]["value"]
    )


@pytest.mark.whole
def test_repeats_give_the_mean_over_draws_and_their_spread(model, tmp_path, mmbench):
    draws = itertools.count()
    words = ["yes", "no", "blue"]

    def answer(body):
        return words[(next(draws) // 7) % 3]

    asked = ("run", "--task", "vqa", "--model", f"openai:{model}", "--limit", "60", "--repeats")
    with ChatServer(answer) as server:
        place = ("--base-url", server.url, "--out", str(tmp_path))
        none = mmbench(*asked, "3", *place)
        assert none.returncode == 2
        assert "temperature of 0" in none.stderr
        done = mmbench(*asked, "3", "--set", "temperature=1.0", *place)
        assert done.returncode == 0, done.stderr
        requests = len(server.bodies)
        again = mmbench(*asked, "2", "--set", "temperature=1.0", *place)
        assert len(server.bodies) == requests
    tables = [load(file)["accuracy"].to_numpy() for file in sorted(tmp_path.rglob("*.parquet"))]
    means = [100 * values.mean() for values in tables]
    line = next(line for line in done.stdout.splitlines() if line.strip().startswith("accuracy"))
    assert line.split()[1] == f"{np.mean(means):.2f}"
    assert line.split()[2] == f"{np.std(means, ddof=1):.2f}"
    of_several = next(line for line in done.stdout.splitlines() if "pass@k" in line)
    pairs = [np.maximum(a, b).mean() for a, b in itertools.combinations(tables, 2)]
    assert (
        f"2 {100 * np.mean(pairs):.2f}, 3 {100 * np.max(tables, axis=0).mean():.2f}" in of_several
    )
    assert [f"{mean:.2f}" in line for mean in means] == [True] * 3
    assert "2 draws" in again.stdout


def test_repeats_of_a_recipe_are_refused(tmp_path, mmbench):
    done = mmbench("run", "--task", "vqa", "--model", "majority", "--repeats", "2")
    assert done.returncode == 2
    assert "is none" in done.stderr
