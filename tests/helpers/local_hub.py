"""The few endpoints of the Hugging Face Hub that liverseg uses, on 127.0.0.1.

Creating a repository, committing files (LFS for weights, inline for text), and resolving a file at
a revision. Anything else answers 404, so that a test notices when liverseg asks for more.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_local"
LFS_SUFFIXES = (".h5", ".onnx", ".keras")


class LocalHub(ThreadingHTTPServer):
    """A Hub in memory.

    Attributes:
        commits: for each repository, its commits' files in order: {hash: {path: bytes}}.
        objects: LFS objects by sha256.
        requests: "METHOD path" of each, in order.
        accepts_uploads: whether LFS objects are taken.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.accepts_uploads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def resolve(self, repo: str, revision: str) -> str | None:
        """The commit's hash; "main" is the last one."""
        commits = self.commits[repo]
        if revision == "main" and commits:
            return list(commits)[-1]
        return revision if revision in commits else None

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        """Adds a commit on top of the last one; returns its hash."""
        commits = self.commits.setdefault(repo, {})
        tree = dict(list(commits.values())[-1]) | files if commits else files
        oid = hashlib.sha1(f"{repo} {len(commits)}".encode()).hexdigest()
        commits[oid] = tree
        return oid


@contextmanager
def serve():
    hub = LocalHub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LocalHub

    def do_POST(self):
        body = self._body()
        routes = {
            r"/api/repos/create": self._create,
            r"/api/validate-yaml": lambda _: self._json({"warnings": [], "errors": []}),
            r"/api/models/(.+)/preupload/main": self._preupload,
            r"/(.+)\.git/info/lfs/objects/batch": self._batch,
            r"/api/models/(.+)/commit/main": self._commit,
        }
        self._route(routes, body)

    def do_PUT(self):
        self._route({r"/lfs/(\w{64})": self._store}, self._body())

    def do_HEAD(self):
        self._route({r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)": self._resolve})

    do_GET = do_HEAD

    def _route(self, routes, *body):
        path = self.path.split("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        for pattern, action in routes.items():
            if found := re.fullmatch(pattern, path):
                if self.command == "POST" and not self._authorized():
                    return
                action(*found.groups(), *body)
                return
        self._json({"error": "this local Hub does not know that"}, 404)

    def _authorized(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        message = "Invalid credentials in Authorization header"
        self._json({"error": message}, 401, {"X-Error-Message": message})
        return False

    def _create(self, body):
        asked = json.loads(body)
        repo = f"{asked['organization']}/{asked['name']}"
        status = 409 if repo in self.server.commits else 200
        self.server.commits.setdefault(repo, {})
        self._json({"url": f"{self.server.url}/{repo}"}, status)

    def _preupload(self, repo, body):
        modes = {
            file["path"]: "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular"
            for file in json.loads(body)["files"]
        }
        files = [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]
        self._json({"files": files})

    def _batch(self, repo, body):
        objects = [
            wanted | {"actions": {"upload": {"href": f"{self.server.url}/lfs/{wanted['oid']}"}}}
            for wanted in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _store(self, oid, body):
        accepted = self.server.accepts_uploads and hashlib.sha256(body).hexdigest() == oid
        if accepted:
            self.server.objects[oid] = body
        self._json({}, 200 if accepted else 403)

    def _commit(self, repo, body):
        files = {}
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
        oid = self.server.commit(repo, files)
        self._json({"commitOid": oid, "commitUrl": f"{self.server.url}/{repo}/commit/{oid}"})

    def _resolve(self, repo, revision, path):
        if repo not in self.server.commits:
            return self._json({}, 404, {"X-Error-Code": "RepoNotFound"})
        oid = self.server.resolve(repo, revision)
        if oid is None:
            return self._json({}, 404, {"X-Error-Code": "RevisionNotFound"})
        if path not in self.server.commits[repo][oid]:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": oid}
            return self._json({}, 404, headers)
        content = self.server.commits[repo][oid][path]
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        return self._send(content, 200, {"X-Repo-Commit": oid, "ETag": etag})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, value, status=200, headers=None):
        content = json.dumps(value).encode()
        self._send(content, status, {"Content-Type": "application/json"} | (headers or {}))

    def _send(self, content: bytes, status: int, headers: dict[str, str]):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass
