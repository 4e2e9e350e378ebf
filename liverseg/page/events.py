"""Between Gradio's events and the handlers: visitors in, values of widgets out, errors in words."""

import inspect
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import NothingOpen, Replaced, UploadError, WeightsError
from ..sentences import say
from .handlers import Bound, Handlers, Properties, full_disk
from .jobs import Values
from .routes import LISTENS, address_of
from .visitors import GRACE_S, KEY, Study

# Where one answer follows another at once, a browser can lose what only the first one changes. So
# there is a pause between them, and each repeats what the last ones said; but for the panel, which
# would be closed again under the hands of a person who opens it meanwhile.
PAUSE_S = 0.1
ONCE = "panel"
ANY = "status"  # a widget that every event may change
PULSE_S = 1.0

log = logging.getLogger(__name__)


def answering(handlers: Handlers, handler: Callable, widgets: dict[str, Any]) -> Callable:
    """A handler as Gradio calls it for an event of the page.

    Args:
        handlers: whose method `handler` is.
        handler: called with the values of the event's inputs, of which the first is the visitor's
            key; a parameter `event` gets what the browser says about the event. It
            returns or yields values by the name of their widget.
        widgets: by the names that handlers use.
    """
    service = handlers.service

    def steps(request: gr.Request, key: Any, inputs: tuple) -> Iterator[Values]:
        if not KEY.fullmatch(str(key)):
            raise NothingOpen(say("page.no_key"))
        visitor = str(key)
        here = service.visitors.event(visitor, _address(request))
        if kind := getattr(handler, "job", None):
            job = service.jobs.start(visitor, kind, handler(visitor, *inputs), here)
            yield from job.follow()
            return
        with here:
            answer = handler(visitor, *inputs)
            yield from answer if inspect.isgeneratorfunction(handler) else [answer]

    def stream(request: gr.Request, key: Any, *inputs: Any) -> Iterator[Any]:
        shown: Values = {}

        def answer() -> dict:
            nonlocal shown
            study = service.visitors.of(str(key))
            shown = {name: value for name, value in shown.items() if _holds(value, study)}
            return _as_gradio_wants(shown, widgets)

        try:
            for step in steps(request, key, inputs):
                shown |= step
                yield answer()
                shown.pop(ONCE, None)
                time.sleep(PAUSE_S)
            # At its end Gradio says the last answer again: what does not hold any more is left out.
            yield answer()
        except Exception as error:
            raise _sentence(handler, error) from None

    return _described(stream, handler, "request", "key")


def answering_program(handlers: Handlers, handler: Callable, widgets: dict[str, Any]) -> Callable:
    """A handler as Gradio calls it for a program.

    Args:
        handlers, handler, widgets: as for `answering`; all inputs are the handler's. Each call is a
            visitor of its own, and its work ends with the call.
    """
    service = handlers.service

    def stream(request: gr.Request, *inputs: Any) -> Iterator[Any]:
        shown: Values = dict.fromkeys(("report", "labels"))
        address = _address(request)
        try:
            with service.visit(address) as visitor:
                here = service.visitors.event(visitor, address)
                job = service.jobs.start(visitor, "program", handler(visitor, *inputs), here)
                heard = time.monotonic()
                # at each pulse Gradio sees whether the program is still there
                for step in job.follow(PULSE_S):
                    if _listens(request):
                        heard = time.monotonic()
                    elif time.monotonic() - heard > GRACE_S:
                        return  # it never asked for the answer
                    shown |= step
                    yield _as_gradio_wants(shown, widgets)
        except Exception as error:
            raise _sentence(handler, error) from None

    return _described(stream, handler, "request")


def _listens(request: gr.Request) -> bool:
    """Whether anybody takes the answer; the gate knows."""
    return request.request.scope[LISTENS]() if request.request else True


def _address(request: gr.Request) -> str:
    return address_of(request.request.scope) if request.request else ""


def _described(call: Any, handler: Callable, *first: str) -> Callable:
    """Gives a function of any inputs the handler's, which Gradio looks at and tells programs."""
    _, *inputs = inspect.signature(handler).parameters
    special = {"request": gr.Request, "event": gr.EventData}
    names = [*first, *inputs]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    call.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    call.__annotations__ = {name: special[name] for name in names if name in special}
    call.__name__, call.__doc__ = handler.__name__, handler.__doc__
    return call


def with_addresses(value: Any) -> Any:
    """The same JSON with the name and address of a served file in place of each Path."""
    if isinstance(value, Path):
        place = f"{value.parent.name}/{value.name}"
        return {"path": place, "url": f"files/{place}"}
    if isinstance(value, dict):
        return {key: with_addresses(one) for key, one in value.items()}
    if isinstance(value, list):
        return [with_addresses(one) for one in value]
    return value


def _holds(value: Any, study: Study | None) -> bool:
    """Whether what a value says is still so; what is not is dropped without a sound."""
    return not isinstance(value, Bound) or value.basis.holds(study)


def _as_gradio_wants(shown: Values, widgets: dict[str, Any]) -> dict:
    def wanted(value: Any) -> Any:
        value = value.value if isinstance(value, Bound) else value
        if isinstance(value, Properties):
            return gr.update(**value.settings)
        return with_addresses(value)

    changes = {widgets[name]: wanted(value) for name, value in shown.items()}
    return changes or {widgets[ANY]: gr.skip()}  # Gradio does not take an empty answer


def _sentence(handler: Callable, error: Exception) -> gr.Error:
    """Every exception as a sentence; no header text reaches page or log."""
    title = say("label.refused")
    if isinstance(error, UploadError | WeightsError):
        seen = not isinstance(error, Replaced)  # who opens another scan need not be told
        return gr.Error(str(error), title=title, print_exception=False, visible=seen)
    if sentence := full_disk(error):
        return gr.Error(sentence, title=title, print_exception=False)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    log.error("%s failed: %s at %s", handler.__name__, type(error).__name__, where)
    return gr.Error(say("page.unexpected"), title=title, print_exception=False)
