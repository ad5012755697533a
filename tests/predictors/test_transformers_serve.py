"""`transformers serve` as a server: it gives the answers that `hf:` gives."""

import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

import mmbench
from tests.conftest import ROOT

LLAVA = str(ROOT / "tests" / "fixtures" / "llava_easy_vqa")

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
    asked = {"limit": 100, "out": tmp_path}
    direct = mmbench.run("vqa", f"hf:{LLAVA}", overrides={"batch": 1}, **asked)
    with served(LLAVA) as url:
        options = {"base_url": url, "concurrency": 4}
        behind = mmbench.run("vqa", f"openai:{LLAVA}", overrides=options, **asked)
    written = list(direct.predictions()["written"])
    assert list(behind.predictions()["written"]) == written
    assert len(set(written)) > 8
    assert behind.record.metrics[0].value == direct.record.metrics[0].value > 0.8
