"""What stands before Gradio: who may ask, for what, and what goes out with every answer.

Gradio serves more than this page needs, to every origin, and takes paths of the server for uploads.
Behind this gate only what is on a list is served, nothing that another web site sends changes
anything, and no description of a file reaches Gradio: of uploads there are handles only.
"""

import ipaddress
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..sentences import Sentence, say
from .manners import Manners
from .routes import LISTENS, address_of

HOSTS_SETTING, PROXIES_SETTING = "LIVERSEG_HOSTS", "LIVERSEG_PROXIES"
MOST_BODY_BYTES = 2_000_000  # of an event; 5000 handles with names are less than half of that
MOST_EVENTS_OF_SESSION = 2  # of a kind: one that runs and one that waits
MOST_EVENTS_OF_ADDRESS = 300  # of all kinds: five for each of sixty visitors behind one router

# What the page and `gradio_client` ask for; a test walks all of Gradio's routes.
SERVED = {
    "GET": re.compile(
        r"/|/config|/theme\.css|/favicon\.ico|/static/.+|/assets/.+|/(files|scripts|here)/.+"
        r"|/gradio_api/(info|file=.+|queue/data|app_id)"  # app_id: is the server there again?
    ),
    "POST": re.compile(r"/gradio_api/(upload|queue/join|cancel)"),
}
SERVED["HEAD"] = SERVED["GET"]

# Gradio's page has scripts and styles of its own in it, and `gr.HTML` makes functions of texts.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self' https://huggingface.co",
    )
)
FORWARDED = (b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for", b"forwarded")
KEPT_BY_BROWSERS = re.compile(r"/(assets|static|scripts)/.+")


@dataclass(frozen=True)
class Trust:
    """Under which names the page answers, and which proxies it believes.

    Attributes:
        hosts: names besides addresses and localhost.
        proxies: networks of the proxies whose X-Forwarded headers count.
    """

    hosts: frozenset[str] = frozenset()
    proxies: tuple[Any, ...] = ()

    @classmethod
    def of_environment(cls) -> "Trust":
        """As the settings say; a Hugging Face Space is reached through its proxy only."""
        hosts, proxies = (
            {part.strip().lower() for part in os.environ.get(name, "").split(",")} - {""}
            for name in (HOSTS_SETTING, PROXIES_SETTING)
        )
        if os.environ.get("SPACE_ID"):
            proxies |= {"0.0.0.0/0", "::/0"}
            owner, _, name = os.environ["SPACE_ID"].lower().partition("/")
            hosts |= {os.environ.get("SPACE_HOST", f"{owner}-{name}.hf.space").lower()}
        return cls(frozenset(hosts), tuple(map(ipaddress.ip_network, sorted(proxies))))

    def is_proxy(self, address: str) -> bool:
        """Whether an address is that of a proxy which is believed."""
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(known in network for network in self.proxies)

    def is_host(self, host: str) -> bool:
        """Whether the page answers under this name; a port may follow it."""
        name = _split(f"//{host}").hostname or ""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name == "localhost" or name in self.hosts
        return True


class Gate:
    """The outermost application: refuses, strips and labels before and after the page's own.

    Args:
        app: the page's.
        blocks: Gradio's, whose events and queue are looked at.
        trust: whom to believe.
        manners: where refusals are counted.
    """

    def __init__(self, app: ASGIApp, blocks: Any, trust: Trust, manners: Manners):
        self._app, self._blocks, self._trust, self._manners = app, blocks, trust, manners
        self._listening = Counter[str]()  # streams of answers, by session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._believed(scope)
        labelled = _labelling(scope, send)
        refusal = self._refusal(scope)
        if refusal is None and scope["path"] == "/gradio_api/queue/join":
            try:
                receive = await self._checked_event(scope, receive)
            except _Refused as refused:
                refusal = refused.response
        if refusal is not None:
            self._manners.refused(address_of(scope))
        with self._listens(scope):
            await (refusal or self._app)(scope, receive, labelled)

    @contextmanager
    def _listens(self, scope: Scope) -> Iterator[None]:
        """While somebody takes the answers of a session, their events can know."""
        if scope["path"] != "/gradio_api/queue/data":
            yield
            return
        session = QueryParams(scope["query_string"]).get("session_hash", "")
        self._listening[session] += 1
        try:
            yield
        finally:
            self._listening[session] -= 1
            self._listening += Counter()  # forgets what is zero

    def _believed(self, scope: Scope) -> Scope:
        """The request without what nobody vouches for, from the address that it came from."""
        client = scope["client"] or ("", 0)
        headers = Headers(scope=scope)
        dropped = {b"range"}  # answers to it would repeat it
        if self._trust.is_proxy(client[0]):
            sender = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
            client = (sender or client[0], 0)
        else:
            dropped |= set(FORWARDED)
        kept = [(name, value) for name, value in scope["headers"] if name not in dropped]
        return {**scope, "headers": kept, "client": client}

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers, method = Headers(scope=scope), scope["method"]
        host = headers.get("x-forwarded-host") or headers.get("host", "")
        if not self._trust.is_host(host):
            return _refusal(say("page.unknown_host", setting=HOSTS_SETTING), 421)
        if method not in SERVED or not SERVED[method].fullmatch(scope["path"]):
            return _refusal(say("page.not_served"), 404)
        if method == "POST" and _is_foreign(headers, host):
            return _refusal(say("page.foreign"), 403)
        return None

    async def _checked_event(self, scope: Scope, receive: Receive) -> Receive:
        """The request of an event without descriptions of files, if there is room for it."""
        body = await _body(receive)
        try:
            event = json.loads(body)
            fn = self._blocks.fns[event["fn_index"]]
            session, data = str(event["session_hash"]), event["data"]
            well_formed = isinstance(data, list) and len(data) in (
                len(fn.inputs),
                sum(not one.skip_api for one in fn.inputs),
            )
            event["data"] = without_files(data)
        except (ValueError, KeyError, TypeError, RecursionError):
            well_formed = False
        if not well_formed:
            raise _Refused(say("page.request_not_understood"), 400)
        self._check_room(session, fn, address_of(scope))
        changed = json.dumps(event).encode()
        length = (b"content-length", str(len(changed)).encode())
        others = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        scope["headers"] = [*others, length]
        scope[LISTENS] = lambda: session in self._listening
        return _again(changed, receive)

    def _check_room(self, session: str, fn: Any, address: str) -> None:
        """Lets an event in that does not fill the queue for others."""
        events = list(self._blocks._queue.event_ids_to_events.values())
        theirs = sum(event.session_hash == session and event.fn is fn for event in events)
        if theirs >= MOST_EVENTS_OF_SESSION:
            raise _Refused(say("page.busy_with_yours"), 429)
        from_there = sum(address_of(event.request.scope) == address for event in events)
        if from_there >= MOST_EVENTS_OF_ADDRESS:
            raise _Refused(say("page.busy"), 429)


class _Refused(Exception):
    """A request that goes no further."""

    def __init__(self, sentence: Sentence, status: int):
        super().__init__(sentence)
        self.response = _refusal(sentence, status)


def _refusal(sentence: Sentence, status: int) -> ASGIApp:
    """An answer that Gradio's scripts show, too."""
    return JSONResponse({"detail": sentence}, status)


def _is_foreign(headers: Headers, host: str) -> bool:
    """Whether another web site sent a request. Programs do not say where they are from."""
    if headers.get("sec-fetch-site") == "cross-site":
        return True
    origin = headers.get("origin")
    return origin is not None and _split(origin).netloc.lower() != host.lower()


def _split(url: str) -> SplitResult:
    """The parts of a URL; none where it is no URL."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


def without_files(value: Any) -> Any:
    """JSON with the handle of an upload in place of each description of a file."""
    if isinstance(value, dict):
        if "path" in value or "meta" in value:
            return str(value.get("path", ""))
        return {key: without_files(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_files(one) for one in value]
    return value


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            raise _Refused(say("page.request_too_large"), 413)
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, and then what comes."""
    messages: list[Message] = [{"type": "http.request", "body": body}]

    async def read() -> Message:
        return messages.pop() if messages else await receive()

    return read


def _labelling(scope: Scope, send: Send) -> Send:
    """Sends answers with what browsers have to know about them."""

    async def labelled(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name in [name for name in headers if name.startswith("access-control-")]:
                del headers[name]
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "no-referrer"
            headers["content-security-policy"] = POLICY
            if not KEPT_BY_BROWSERS.fullmatch(scope["path"]):
                headers["cache-control"] = "no-store"
        await send(message)

    return labelled
