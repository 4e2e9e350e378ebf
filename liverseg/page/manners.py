"""Who sends what the page refuses: their work waits until nobody else does."""

import threading
import time
from collections import deque

WINDOW_S = 60.0
MOST_REFUSALS = 30  # of an address within the window; a page in a browser gets none


class Manners:
    """Counts refusals by address."""

    def __init__(self) -> None:
        self._refused: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def refused(self, address: str) -> None:
        """Something that came from there was refused."""
        with self._lock:
            times = self._refused.setdefault(address, deque(maxlen=MOST_REFUSALS + 1))
            times.append(time.monotonic())

    def are_bad(self, address: str) -> bool:
        """Whether too much of what comes from there is refused."""
        with self._lock:
            times = self._refused.get(address, deque())
            return len(times) > MOST_REFUSALS and time.monotonic() - times[0] < WINDOW_S

    def sweep(self) -> None:
        """Forgets what was long ago."""
        with self._lock:
            for address, times in list(self._refused.items()):
                if time.monotonic() - times[-1] > WINDOW_S:
                    del self._refused[address]
