"""A real server that speaks OpenAI's protocol, in a thread, and fails as it is told to."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

HANG = "hang"
DROP = "drop"  # the connection, in the middle of an answer


def words_of(body):
    """What was asked in words."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def image_of(body):
    """The pixels of the image that was asked about."""
    url = body["messages"][-1]["content"][0]["image_url"]["url"]
    kind, _, data = url.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def completion(text, **changes):
    """The body of an answer."""
    message = {"role": "assistant", "content": text}
    value = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "served-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
    return json.dumps(value | changes).encode()


class ChatServer(ThreadingHTTPServer):
    """Use it in a `with`.

    Args:
        answer: gives the text for a request's body.
        fault: is given the body and how often it came before; gives None for an answer, HANG, DROP,
            or a status, headers and a body.
        key: that must be sent, if any.
    Attributes:
        asked, answered: how often each query came, and was answered, by its words.
        bodies: of all requests.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answer=lambda body: "yes", fault=lambda body, before: None, key=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.fault, self.key = answer, fault, key
        self.asked, self.answered = Counter(), Counter()
        self.bodies = []
        self.lock, self.stopping = threading.Lock(), threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """A client that is gone is nothing to tell."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.reply(200, {}, json.dumps({"object": "list", "data": [{"id": "served"}]}).encode())

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = words_of(body)
        with server.lock:
            before = server.asked[words]
            server.asked[words] += 1
            server.bodies.append(body)
        if server.key and self.headers["Authorization"] != f"Bearer {server.key}":
            sent = self.headers["Authorization"].removeprefix("Bearer ")
            error = {"error": {"message": f"Incorrect API key provided: {sent}"}}
            self.reply(401, {}, json.dumps(error).encode())
            return
        fault = server.fault(body, before)
        if fault == HANG:
            server.stopping.wait()
            self.close_connection = True
        elif fault == DROP:
            content = completion("yes")
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n"
            self.wfile.write(head.encode() + content[:20])
            self.close_connection = True
        elif fault is not None:
            self.reply(*fault)
        else:
            with server.lock:
                server.answered[words] += 1
            self.reply(200, {}, completion(server.answer(body)))

    def reply(self, status, headers, body):
        """In one write, so that nothing waits for an acknowledgement."""
        head = {"Content-Type": "application/json", "Content-Length": len(body), **headers}
        lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in head.items())]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)
