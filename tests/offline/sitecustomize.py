"""Cuts a Python process off from every network but its own machine's.

Python imports a module of this name at its start when it finds one; a test puts this folder on
PYTHONPATH.
"""

import sys

HERE = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "", None)


def refuse(event, arguments):
    """An audit hook (sys.addaudithook) that forbids to look up or reach other machines."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if (host.decode() if isinstance(host, bytes) else host) not in HERE:
        print(f"OFFLINE: {event}", file=sys.stderr, flush=True)
        raise ConnectionRefusedError("this process is offline")


sys.addaudithook(refuse)
