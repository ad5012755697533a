"""A hub on this machine: what of huggingface.co's protocol a snapshot takes."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFUSALS = {  # by repository
    "someone/gated": (403, "GatedRepo"),
    "someone/private": (401, "RepoNotFound"),
}


@contextmanager
def hub_of(folders: dict[str, Path], monkeypatch, cache: Path):
    """Serves folders as repositories; gives the set of files that were asked for."""
    from huggingface_hub import constants

    fetched: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = self.path.partition("?")[0].strip("/").removeprefix("api/models/").split("/")
            repository, action, revision = "/".join(parts[:2]), parts[2:3], parts[3:4]
            folder = folders.get(repository)
            if folder is None:
                return self.reply(*REFUSALS.get(repository, (404, "RepoNotFound")))
            if revision not in ([], ["main"], [COMMIT]):
                return self.reply(404, "RevisionNotFound")
            files = [file for file in folder.rglob("*") if file.is_file()]
            if action == ["tree"]:
                tree = [
                    {
                        "type": "file",
                        "path": file.relative_to(folder).as_posix(),
                        "size": file.stat().st_size,
                        "oid": hashlib.sha1(file.read_bytes()).hexdigest(),
                    }
                    for file in files
                ]
                return self.reply(200, "", json.dumps(tree).encode(), "application/json")
            if action != ["resolve"]:
                names = [file.relative_to(folder).as_posix() for file in files]
                found = {"id": repository, "sha": COMMIT, "private": False}
                found["siblings"] = [{"rfilename": name} for name in names]
                return self.reply(200, "", json.dumps(found).encode(), "application/json")
            name = "/".join(parts[4:])
            if not (folder / name).is_file():
                return self.reply(404, "EntryNotFound")
            fetched.add(name)
            return self.reply(200, "", (folder / name).read_bytes())

        do_HEAD = do_GET

        def reply(self, status, error, content=b"", kind="application/octet-stream") -> None:
            self.send_response(status)
            tag = hashlib.sha256(content).hexdigest()
            headers = {"X-Error-Code": error} if error else {"ETag": f'"{tag}"'}
            headers |= {"X-Repo-Commit": COMMIT, "Content-Length": len(content)}
            for name, value in (headers | {"Content-Type": kind}).items():
                self.send_header(name, str(value))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    try:
        yield fetched
    finally:
        server.shutdown()
        server.server_close()
