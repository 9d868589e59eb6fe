"""The process that hands one notice to Apprise.

What belongs here: that alone. It is run as a file of its own, apart from every log: Apprise and what is beneath it
write whole addresses, tokens and all, where a logger listens. Nothing of what they say leaves it but a few words that
this module chooses.

In on standard input: JSON with url, title, text and timeout (seconds), or with the url alone, which is read and sent
nothing. Out on standard output: `sent`, `readable`, or why not.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

SENT = "sent"
READABLE = "readable"
_STATUS = re.compile(r"\berror=([0-9]{3})\b")


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


def main() -> None:
    """Send, and say what became of it."""
    order = json.load(sys.stdin)
    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    logger.propagate = False
    print(_sent(order, heard))  # noqa: T201 - the answer


def _sent(order: dict[str, Any], heard: _Heard) -> str:
    try:
        import apprise

        target = apprise.Apprise.instantiate(order["url"])
        if target is None:
            return "its address is none that Apprise knows"
        if "text" not in order:
            return READABLE
        target.socket_connect_timeout = target.socket_read_timeout = float(order["timeout"])
        if target.notify(title=order["title"], body=order["text"], body_format=apprise.NotifyFormat.TEXT):
            return SENT
    except Exception as error:
        return f"it failed with {type(error).__name__}"
    status = _STATUS.search(heard.text)
    if status:
        return f"it answered with HTTP status {status.group(1)}"
    return "it cannot be reached" if "onnection error" in heard.text else "it did not take the notice"


if __name__ == "__main__":
    main()
