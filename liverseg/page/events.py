"""Between Gradio's events and the handlers: sessions in, values of widgets out, errors in words."""

import inspect
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from ..errors import Replaced, UploadError, WeightsError
from .handlers import Properties
from .texts import TITLE, UNEXPECTED

log = logging.getLogger(TITLE)


def answering(handler: Callable, widgets: dict[str, Any]) -> Callable:
    """A handler as Gradio calls it.

    Args:
        handler: called with the session's hash and the values of the event's inputs; a parameter
            `event` gets what the browser says about the event. It returns or yields values by the
            name of their widget, or values for all outputs where it answers a program.
        widgets: by the names that handlers use.
    """

    def values(answer: Any) -> Any:
        if not isinstance(answer, dict):
            return answer
        return {widgets[name]: _as_gradio_wants(value) for name, value in answer.items()}

    def answer(request: gr.Request, *inputs: Any) -> Any:
        try:
            return values(handler(request.session_hash, *inputs))
        except Exception as error:
            raise _sentence(handler, error) from None

    def stream(request: gr.Request, *inputs: Any) -> Iterator[Any]:
        try:
            yield from map(values, handler(request.session_hash, *inputs))
        except Exception as error:
            raise _sentence(handler, error) from None

    call = stream if inspect.isgeneratorfunction(handler) else answer
    _describe(call, handler)
    return call


def _describe(call: Any, handler: Callable) -> None:
    """Gives a function of any inputs the handler's, which Gradio looks at and tells programs."""
    _, *inputs = inspect.signature(handler).parameters
    special = {"request": gr.Request, "event": gr.EventData}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    call.__signature__ = inspect.Signature(
        [inspect.Parameter(name, kind) for name in ("request", *inputs)]
    )
    call.__annotations__ = {name: special[name] for name in ("request", *inputs) if name in special}
    call.__name__, call.__doc__ = handler.__name__, handler.__doc__


def with_served_files(value: Any) -> Any:
    """The same JSON with Gradio's description of a file in place of each Path."""
    if isinstance(value, Path):
        return FileData(path=str(value)).model_dump()
    if isinstance(value, dict):
        return {key: with_served_files(one) for key, one in value.items()}
    if isinstance(value, list):
        return [with_served_files(one) for one in value]
    return value


def _as_gradio_wants(value: Any) -> Any:
    if isinstance(value, Properties):
        return gr.update(**value.settings)
    return with_served_files(value)


def _sentence(handler: Callable, error: Exception) -> gr.Error:
    """Every exception as a sentence; no header text reaches page or log."""
    if isinstance(error, UploadError | WeightsError):
        seen = not isinstance(error, Replaced)  # who opens another scan need not be told
        return gr.Error(str(error), title="Not possible", print_exception=False, visible=seen)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    log.error("%s failed: %s at %s", handler.__name__, type(error).__name__, where)
    return gr.Error(UNEXPECTED, title="Not possible", print_exception=False)
