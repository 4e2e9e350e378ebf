"""The page's own addresses, beside Gradio's: uploads, what is served, scripts, and who is here."""

import asyncio
import gzip
import ipaddress
import mimetypes
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import plotly
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from ..errors import NoRoom, TooLarge, UploadError
from ..sentences import say
from .viewer import scripts

if TYPE_CHECKING:
    from .service import Service

LISTENS = "liverseg.listens"  # in an event's scope: tells whether anybody takes its answer
VISITOR_HEADER = "x-visitor"  # the public half of a visitor's key
ID = re.compile(r"[0-9a-f]{32}")
PLACE = re.compile(r"(?:.*/)?([0-9a-f]{64})/([\w-]+(?:\.[\w-]+)+)")
HERE_S = 15  # between two signs of life, so that no proxy takes a stream for a dead one
RETRY_MS = 1000  # after which a browser opens a broken stream again
LONG_S = 365 * 24 * 3600
STATUS = {TooLarge: 413, NoRoom: 507}
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


def address_of(scope: Scope) -> str:
    """Where a request came from: an IPv4 address, or the /64 network that one IPv6 user has."""
    address = scope["client"][0] if scope.get("client") else ""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4 or known.ipv4_mapped:
        return address
    return str(ipaddress.ip_network((known, 64), strict=False))


def script_address(name: str) -> str:
    """Where a script is, relative to the page; the address changes with the scripts."""
    return f"scripts/{scripts.version()}/{name}"


class Routes:
    """What answers at the page's own addresses.

    Args:
        service: behind the page.
    """

    def __init__(self, service: "Service"):
        self._service = service
        self._stopped = asyncio.Event()

    def listed(self) -> list[BaseRoute]:
        """All of them, to be asked before Gradio's."""
        return [
            Route("/gradio_api/upload", self.upload, methods=["POST"]),
            Route("/gradio_api/file={place:path}", self.file),
            Route("/files/{place:path}", self.file),
            Route("/scripts/{version}/{name:path}", self.script),
            Route("/here/{visitor}", self.here),
        ]

    def stop(self) -> None:
        """Ends the streams, for which the server would wait otherwise."""
        self._stopped.set()

    async def upload(self, request: Request) -> Response:
        """Takes files; answers with a handle for each."""
        owner = request.headers.get(VISITOR_HEADER)
        length = request.headers.get("content-length", "")
        try:
            handles = await self._service.uploads.receive(
                request.stream(),
                request.headers.get("content-type", ""),
                int(length) if length.isdecimal() else None,
                owner=owner if owner and ID.fullmatch(owner) else None,
                address=address_of(request.scope),
            )
        except UploadError as error:
            status = (
                413 if isinstance(error, TooLarge) else 507 if isinstance(error, NoRoom) else 400
            )
            return JSONResponse({"detail": str(error)}, status)
        return JSONResponse(handles)

    async def file(self, request: Request) -> Response:
        """A file that the page made for one visitor, who alone knows its address."""
        found = PLACE.fullmatch(request.path_params["place"])
        path = self._service.served.joinpath(*found.groups()) if found else None
        if path is None or not path.is_file():
            return JSONResponse({"detail": say("page.not_served")}, 404)
        # `bin` is what the viewer fetches; the others are for people to keep
        is_kept = path.suffix != ".bin"
        return FileResponse(path, filename=path.name if is_kept else None, media_type=_kind(path))

    async def script(self, request: Request) -> Response:
        """A script of the viewer, or plotly.js; packed, and kept by browsers."""
        content = packed_script(request.path_params["name"])
        if content is None:
            return JSONResponse({"detail": say("page.not_served")}, 404)
        headers = {"cache-control": f"public, max-age={LONG_S}, immutable"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
        else:
            content = gzip.decompress(content)
        return Response(content, headers=headers, media_type="text/javascript")

    async def here(self, request: Request) -> Response:
        """A stream that a tab keeps open as long as it lives."""
        visitor = request.path_params["visitor"]
        if not ID.fullmatch(visitor):
            return JSONResponse({"detail": say("page.not_served")}, 404)
        return StreamingResponse(self._signs(visitor), media_type="text/event-stream")

    async def _signs(self, visitor: str) -> AsyncIterator[str]:
        with self._service.visitors.stream(visitor):
            yield f"retry: {RETRY_MS}\n\n"
            while not self._stopped.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), HERE_S)
                yield ": here\n\n"


def _kind(path: Path) -> str:
    kind, _ = mimetypes.guess_type(path.name)
    return kind or "application/octet-stream"


@cache
def packed_script(name: str) -> bytes | None:
    """A script's gzipped text; None where there is none of this name."""
    if name == PLOTLY_JS.name:
        return gzip.compress(PLOTLY_JS.read_bytes(), 6)
    if name not in scripts.SCRIPTS:
        return None
    return gzip.compress((scripts.HERE / name).read_bytes(), 6)
