"""The process in which compressed frames are decoded; `decoder` starts it and says why.

Reads requests from stdin and answers on stdout, each a line of JSON and the bytes behind it:

request     {"syntax", "bytes", "options": pydicom's for one frame}, the frame
answer      {"dtype", "shape", "seconds"}, the stored values; only the CPU seconds that the process
            has taken where it cannot be decoded
"""

import json
import sys
import time
from typing import BinaryIO

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

MEMORY = 2 * 2**30  # bytes that a decoder may ask for


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers until the other process is gone; the first answer says that it is ready."""
    answer(answers, {})
    for line in requests:
        request = json.loads(line)
        frame = requests.read(request["bytes"])
        try:
            pixels, _ = get_decoder(request["syntax"]).as_array(
                encapsulate([frame]), raw=True, **request["options"]
            )
        except Exception:  # decoders raise anything
            answer(answers, {})
        else:
            answer(answers, {"dtype": pixels.dtype.str, "shape": pixels.shape}, pixels)


def answer(answers: BinaryIO, head: dict, pixels: np.ndarray | None = None) -> None:
    """Writes one answer."""
    head["seconds"] = time.process_time()
    answers.write(json.dumps(head).encode() + b"\n")
    if pixels is not None:
        answers.write(np.ascontiguousarray(pixels).data)
    answers.flush()


def limit_memory() -> None:
    """Makes a decoder fail that wants too much, where the system can."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    limit_memory()
    serve(sys.stdin.buffer, sys.stdout.buffer)
