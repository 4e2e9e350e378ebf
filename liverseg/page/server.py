"""The page on a port: Gradio's application behind the gate, served from a thread of its own."""

import logging
import socket
import sys
import threading
import time
import traceback
from copy import copy
from typing import Any, TextIO

import gradio as gr
import uvicorn
from fastapi import FastAPI
from gradio.routes import App
from gradio.state_holder import SessionState, StateHolder
from starlette.routing import Mount

from ..errors import CannotStart
from ..sentences import say
from .gate import Gate, Trust
from .routes import Routes
from .service import Service

START_S = 60
STOP_S = 3  # for answers under way


def application(blocks: gr.Blocks, routes: Routes, **settings: Any) -> FastAPI:
    """The page's own addresses and, at all others, Gradio.

    Args:
        blocks: Gradio's.
        routes: the page's own.
        settings: of `gr.mount_gradio_app`.
    """
    app = FastAPI(routes=routes.listed(), openapi_url=None)
    quiet = {"footer_links": [], "run_history": False, "enable_monitoring": False}
    quiet |= {"show_error": False, "ssr_mode": False, "pwa": False}
    gr.mount_gradio_app(app, blocks, path="/", **quiet, **settings)
    mounts = (route.app for route in app.routes if isinstance(route, Mount))
    (mounted,) = (one for one in mounts if isinstance(one, App))
    mounted.state_holder = _Sessions()  # not that of `blocks.app`, which serves nothing
    mounted.state_holder.set_blocks(blocks)
    blocks.is_running = True  # else the streams of events give no sign of life
    return app


class _Session(SessionState):
    """What one event of a session begins with: the page's widgets as they were made."""

    def __init__(self, blocks: gr.Blocks):
        self.blocks_config = copy(blocks.default_config)
        self.config_values, self.state_data, self._state_ttl = {}, {}, {}
        self.is_closed = False

    def __setitem__(self, key: int, value: Any) -> None:
        self.blocks_config.blocks[key] = value

    def _update_config(self, key: int) -> None:
        """Descriptions are for links to a session, which are not served."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """As `_update_config`."""


class _Sessions(StateHolder):
    """Nothing is kept of a session: each of its events begins with a fresh one.

    Gradio describes every widget anew for each session and for each change, while nobody else is
    answered; strangers who come with fresh sessions kept the page busy with nothing else. And it
    keeps the last values of all widgets, of which nothing may be left when a scan is closed. Here
    nothing hangs on them.
    """

    def __getitem__(self, session_id: str) -> SessionState:
        return _Session(self.blocks)


class Server:
    """Serves the page until it is closed.

    Args:
        blocks: Gradio's, with its queue.
        service: behind the page.
        host, port: where to listen.
        settings: of `gr.mount_gradio_app`.

    Raises:
        CannotStart: another program listens there, or nobody can.
    """

    def __init__(self, blocks: gr.Blocks, service: Service, host: str, port: int, **settings: Any):
        self._socket = _listening(host, port)
        self.url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}/"
        self._routes, self._blocks = Routes(service), blocks
        app = application(blocks, self._routes, **settings)
        gate = Gate(app, blocks, Trust.of_environment(), service.manners)
        config = uvicorn.Config(
            gate,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_S,
        )
        self._server = uvicorn.Server(config)
        self._ended = threading.Event()

    def start(self) -> None:
        """Returns as soon as the page answers; an interruption closes the server."""
        threading.Thread(target=self._serve, daemon=True).start()
        end = time.monotonic() + START_S
        try:
            while not self._server.started:
                if self._ended.is_set() or time.monotonic() > end:
                    raise RuntimeError("the server did not start")
                time.sleep(0.01)
        except BaseException:
            self.close()
            raise

    def wait(self) -> None:
        """Returns when the server has ended."""
        # Not by Thread.join: interrupted by a signal, it takes a living thread for an ended one.
        while not self._ended.wait(1):
            pass

    def close(self) -> None:
        """Ends it, and the streams that are open."""
        self._blocks.is_running = False
        self._routes.stop()
        self._server.should_exit = True
        self._ended.wait(2 * STOP_S)
        self._socket.close()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once what it has (TCP_NODELAY) only where the protocol is named; else an
    # answer in pieces waits 40 ms for the browser's acknowledgment
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError:
        listening.close()
        raise CannotStart(say("page.port_taken", host=host, port=port)) from None
    return listening


class _Quiet:
    """Takes what libraries print, which can quote names and texts of a visitor's files."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


class _Discreet(logging.Formatter):
    """Our own messages as they are; of those of libraries, where they come from.

    A message or an exception of a library can quote anything of an upload. Which line it comes from
    is enough to look it up.
    """

    def __init__(self, ours: str):
        super().__init__()
        self._ours = ours

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        if record.name == self._ours or record.name.startswith(f"{self._ours}."):
            return f"{record.levelname} {record.name}: {record.getMessage()}"
        place = f"{record.levelname} {record.name} at {record.filename}:{record.lineno}"
        if record.exc_info and record.exc_info[0]:
            frame = traceback.extract_tb(record.exc_info[2])[-1]
            name = record.exc_info[0].__name__
            place += f": {name} at {frame.filename.rpartition('/')[2]}:{frame.lineno}"
        return place


def log_discreetly(ours: str) -> TextIO:
    """From now on nothing of a visitor reaches the log, whoever writes it.

    Args:
        ours: the name of our own loggers, whose messages are made for the log.

    Returns:
        the stream that standard error was, for what the person at the terminal must read.
    """
    terminal = sys.stderr
    handler = logging.StreamHandler(terminal)
    handler.setFormatter(_Discreet(ours))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    sys.stdout = sys.stderr = _Quiet()
    return terminal
