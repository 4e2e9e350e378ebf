"""Gradio's fields where it would do more than this page wants with what they hold."""

from typing import Any

import gradio as gr
from gradio.data_classes import FileData


class Options(gr.Radio):
    """One of some options that handlers set; any answer is passed on, for them to check.

    Gradio would compare it with the options of the browser's session, of which nothing is kept.
    """

    is_template = True  # else Gradio looks for scripts of this class

    def preprocess(self, payload: Any) -> Any:
        """What was chosen."""
        return payload


class _Handles(gr.File):
    is_template = True

    def api_info(self) -> dict:
        """To programs these are files; the gate makes handles of their uploads."""
        return gr.File(file_count="multiple", render=False).api_info()

    def preprocess(self, payload: Any) -> Any:
        """A list of handles, or None."""
        return payload


def handles(label: str) -> gr.File:
    """Files that a program uploads; the handler gets their handles."""
    box = _Handles(label=label, file_count="multiple", visible=False)
    box.data_model = None  # it wants descriptions of files
    return box


class ServedFile(gr.File):
    """A file that a program fetches, by the name under which it is served."""

    is_template = True

    def postprocess(self, value: dict | None) -> FileData | None:  # type: ignore[override]
        """What `events.with_addresses` made of a path."""
        return (
            FileData(path=value["path"], orig_name=value["path"].rpartition("/")[2])
            if value
            else None
        )

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """It is where it shall be."""
        return url_or_file_path
