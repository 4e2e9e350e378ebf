"""A stranger who speaks HTTP to a page: what its scripts would never send."""

import itertools
from typing import Any

import httpx


class Attacker:
    """Asks without a browser.

    Args:
        served: the page, as `page_server` serves it.
        source: the address to ask from; the system's choice by default.
        headers: of all requests.
    """

    def __init__(self, served, source: str | None = None, **headers: str):
        # a refusal can end a connection, so each request has its own
        apart = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        way = httpx.HTTPTransport(limits=apart, local_address=source)
        self.http = httpx.Client(
            base_url=served.url, timeout=60, headers=headers, transport=way, trust_env=False
        )
        config = self.http.get("config").json()
        self._events = {one["api_name"]: one for one in config["dependencies"]}
        self._sessions = itertools.count()

    def join(
        self, name: str, *data: Any, session: str | None = None, **more: Any
    ) -> httpx.Response:
        """Joins the queue with an event of the page; inputs that are not given are None."""
        event = self._events[name]
        filled = [*data, *[None] * (len(event["inputs"]) - len(data))]
        session = session or f"{id(self)}-{next(self._sessions)}"
        body = {"data": filled, "fn_index": event["id"], "session_hash": session, **more}
        answer = self.http.post("gradio_api/queue/join", json=body)
        answer.session = session
        return answer

    def happened(self, name: str, *data: Any, **more: Any) -> str:
        """All that the server says to an event, to the end."""
        joined = self.join(name, *data, **more)
        if joined.status_code != 200:
            return joined.text
        address = f"gradio_api/queue/data?session_hash={joined.session}"
        with self.http.stream("GET", address) as stream:
            said = []
            for line in stream.iter_lines():
                said.append(line)
                if "process_completed" in line:
                    break
            return "\n".join(said)

    def upload(self, content: bytes, name: str = "scan.zip", owner: str | None = None) -> str:
        """Uploads a file; returns its handle."""
        headers = {"X-Visitor": owner} if owner else {}
        files = {"files": (name, content)}
        answer = self.http.post("gradio_api/upload", files=files, headers=headers)
        (handle,) = answer.raise_for_status().json()
        return handle
