"""`transformers serve` as a server: it gives the answers that `hf:` gives."""

import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from mmbench import registry
from mmbench.predictors.huggingface import HuggingFace
from mmbench.predictors.openai_server import OpenAIServer
from tests.tiny_llava import save_llava

SERVE = """
import sys
sys.argv = ["transformers", "serve", *sys.argv[1:]]
from transformers.cli.transformers import main
main()
"""


@contextmanager
def served(folder):
    """The address of a server of a folder's model, once it takes connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    command = [sys.executable, "-c", SERVE, folder, *place]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert any("running on" in line for line in server.stderr)  # which it says, or ends
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


@pytest.mark.whole
def test_a_server_of_transformers_answers_as_its_checkpoint_does(tmp_path):
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    folder = save_llava(tmp_path / "llava")
    task = registry.load("tasks", "vqa")()
    queries = task.load(task.dataset("easy_vqa"), "test").queries[:40]
    options = {"prompt": "{text}", "max_new_tokens": 6}
    direct = HuggingFace(folder, "text", "cpu", batch=1, **options).predict(queries)
    written = [answer.written for answer in direct]
    with served(folder) as url:
        model = OpenAIServer(folder, "text", base_url=url, concurrency=4, **options)
        assert [answer.written for answer in model.predict(queries)] == written
    assert len(set(written)) > 3
