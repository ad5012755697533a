"""Asking a server: how much of what its slots allow is reached, with and without failures, and how
quickly answers that are kept are scored again.

    python benchmarks/servers.py [--latency 0.05] [--tries 3]

The server is a process of its own that answers after 40 to 60 ms, 32 requests at a time; more
wait. It counts what it is asked and what it answered, and how long its slots are busy, which is a
little more than 50 ms for each request. Beside the rates stands what the client alone reaches,
in a bare loop of 32 at once, since a busy machine slows both: there a larger --latency shows what
is lost by how it is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

LATENCY, SLOTS, QUERIES = 0.05, 32, 1_000
SCORED = 10_000


def serve(connection, latency: float, faults: float) -> None:
    """A server until it is told to end; then tells how often each query came and was answered."""
    asked, answered, busy = Counter(), Counter(), [0.0]
    draw = random.Random()

    def reply(status: int, body: bytes, more: str = "") -> bytes:
        head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n{more}"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    message = {"role": "assistant", "content": "yes"}
    value = {
        "model": "served",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 1},
    }
    completion = reply(200, json.dumps(value).encode())  # once: slots are idle meanwhile

    async def handle(reader, writer) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                at = head.lower().index(b"content-length:") + 15
                sent = await reader.readexactly(int(head[at : head.index(b"\r", at)]))
                words = sent[max(sent.rfind(b'"text":'), sent.rfind(b'"content":')) :]
                asked[words] += 1
                async with slots:
                    began = time.perf_counter()
                    await asyncio.sleep(latency * draw.uniform(0.8, 1.2))
                    busy[0] += time.perf_counter() - began
                if draw.random() < faults:
                    crowded = draw.random() < 0.5
                    more = "Retry-After: 0.05\r\n" if crowded else ""
                    writer.write(reply(429 if crowded else 500, b"{}", more))
                    continue
                answered[words] += 1
                writer.write(completion)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        nonlocal slots
        slots = asyncio.Semaphore(SLOTS if latency else 1_000)
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=512)
        connection.send(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, connection.recv)
        connection.send((asked, answered, busy[0]))

    slots = asyncio.Semaphore()
    asyncio.run(run())


class Server:
    def __init__(self, latency: float = LATENCY, faults: float = 0.0) -> None:
        self._here, there = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(there, latency, faults), daemon=True
        )

    def __enter__(self) -> Server:
        self._process.start()
        self.url = f"http://127.0.0.1:{self._here.recv()}/v1"
        return self

    def __exit__(self, *_) -> None:
        self._here.send("end")
        self.asked, self.answered, self.busy = self._here.recv()
        self._process.join()


def bare(url: str, messages: list) -> float:
    """Seconds of a loop that asks 32 at a time by the client alone."""
    from openai import AsyncOpenAI

    async def run() -> float:
        async with AsyncOpenAI(api_key="x", base_url=url, max_retries=0) as client:
            left = iter(messages)

            async def worker() -> None:
                for each in left:
                    await client.chat.completions.with_raw_response.create(
                        model="bare", messages=[each], temperature=0, max_tokens=8
                    )

            began = time.perf_counter()
            await asyncio.gather(*(worker() for _ in range(SLOTS)))
            return time.perf_counter() - began

    return asyncio.run(run())


def throughput(latency: float, faults: float, beside: bool) -> None:
    from mmbench import registry
    from mmbench.predictors.messages import message
    from mmbench.predictors.openai_server import OpenAIServer
    from mmbench.prompts import Prompt
    from mmbench.task import Answer

    task = registry.load("tasks", "vqa")()
    samples = task.load(task.dataset("easy_vqa"), "test")
    queries = samples.queries[:QUERIES]
    prompt = Prompt(text="{text}")
    # Each of its own, whatever the dataset repeats.
    queries = [
        type(q)(q.id, {**q.inputs, "text": f"{n}: {q.inputs['text']}"})
        for n, q in enumerate(queries)
    ]
    allowed = QUERIES / SLOTS * latency
    print(f"\n{QUERIES:,} queries, {faults:.0%} random 429 and 500: slots allow {allowed:.2f} s")
    with Server(latency, faults) as server:
        predictor = OpenAIServer(f"bench-{time.time()}", "text", base_url=server.url)
        warm = [type(queries[0])("warm", {"text": "warm"})]
        list(OpenAIServer("warm", "text", base_url=server.url, anew=True).predict(warm))
        began, used = time.perf_counter(), time.process_time()
        given = list(predictor.predict(queries))
        seconds, used = time.perf_counter() - began, time.process_time() - used
    twice = sum(n > 1 for n in server.answered.values())
    lost = sum(not isinstance(each, Answer) for each in given)
    requests = sum(each.usage.requests for each in given)
    print(
        f"  mmbench     {seconds:.2f} s, {allowed / seconds:.2f} of what the slots allow, "
        f"busy {server.busy / SLOTS / seconds:.0%} of the time; {requests:,} requests, "
        f"{lost} lost, {twice} asked again after an answer; "
        f"{1e3 * used / requests:.2f} ms of CPU a request"
    )
    if beside:
        with Server(latency) as server:
            alone = bare(server.url, [message(prompt, query) for query in queries])
        print(
            f"  bare loop   {alone:.2f} s, {allowed / alone:.2f} of what the slots allow; "
            f"mmbench at {alone / seconds:.2f} of it"
        )


# Notes what the client has received, before it is kept, and once it is.
_KILLED = """
import os, sys
from mmbench.data.sample import Query
from mmbench.predictors.openai_client import OpenAIClient
from mmbench.predictors.openai_server import OpenAIServer
from mmbench.responses import Responses
notes = os.open(sys.argv[4], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
ask, put = OpenAIClient.ask, Responses.put
async def noting_received(self, messages):
    response = await ask(self, messages)
    os.write(notes, f"received {messages[0]['content']}\\n".encode())
    return response
def noting_kept(self, key, response):
    put(self, key, response)
    os.write(notes, f"kept {key}\\n".encode())
OpenAIClient.ask, Responses.put = noting_received, noting_kept
queries = [Query(str(n), {"text": f"question {n}"}) for n in range(int(sys.argv[3]))]
for answer in OpenAIServer(sys.argv[1], "text", base_url=sys.argv[2]).predict(queries):
    print(answer.usage.kept, flush=True)
"""


def killed(times: int = 10) -> None:
    """Kill a run again and again, each time after some new answers, and let the last one end."""
    model, draw = f"killed-{time.time()}", random.Random()
    with tempfile.TemporaryDirectory() as folder, Server(latency=0.005) as server:
        for number in range(times + 1):
            notes = Path(folder, str(number))
            command = [sys.executable, "-c", _KILLED, model, server.url, str(QUERIES), notes]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
                new, most = 0, draw.randrange(1, 2 * QUERIES // times)
                for line in run.stdout:
                    new += line.strip() == "False"
                    if number < times and new >= most:
                        run.kill()
                        break
        got = Counter(line for file in Path(folder).iterdir() for line in file.open())
    received, kept = (
        [count for line, count in got.items() if line.startswith(word)]
        for word in ("received", "kept")
    )
    twice = sum(count > 1 for count in server.answered.values())
    print(
        f"\n{QUERIES:,} queries, killed {times} times: {len(kept):,} answers kept, "
        f"{sum(count > 1 for count in kept)} of them asked for again; "
        f"{sum(count > 1 for count in received)} received and not yet kept at a kill; {twice} "
        f"answered twice by the server, since they were under way (of {64 * times} that may be)"
    )


def scored_again() -> None:
    import mmbench

    name = f"openai:kept-{os.getpid()}"
    asked = {"split": "train", "limit": SCORED, "allow_failed": True}
    with tempfile.TemporaryDirectory() as folder, Server(latency=0.0) as server:
        overrides = {"base_url": server.url}
        first = mmbench.run("vqa", name, out=Path(folder, "a"), overrides=overrides, **asked)
        began, used = time.perf_counter(), time.process_time()
        again = mmbench.run("vqa", name, out=Path(folder, "b"), overrides=overrides, **asked)
        seconds, used = time.perf_counter() - began, time.process_time() - used
    assert again.value == first.value
    assert again.record.requests.requests == 0
    print(
        f"\n{SCORED:,} answers: asked in {first.record.inference.seconds:.1f} s "
        f"({first.record.requests.requests:,} requests), kept ones scored again in {seconds:.2f} s "
        f"({used:.2f} s of CPU; of which answered in {again.record.inference.seconds:.2f} s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--latency", type=float, default=LATENCY)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("MMBENCH_CACHE", cache)
        for _ in range(options.tries):
            throughput(options.latency, 0.0, beside=True)
            throughput(options.latency, 0.1, beside=False)
        killed()
        scored_again()


if __name__ == "__main__":
    main()
