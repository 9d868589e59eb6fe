"""A notice: one fact in the words of one message.

What belongs here: its shape, and what makes a fact the same one. What does not: the words (`texts`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any

MOST_TITLE = 100
MOST_TEXT = 1200
"""Characters; a phone shows no more, and the shortest of the services takes no more."""
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told.

    Attributes:
        event: As the configuration names it.
        subject: What it is about, such as `portfolio main`.
        occasion: What makes this time one of its own, such as a session: the same event of the same subject on the
            same occasion is told once.
        title: One line.
        text: A few lines, the last of which says what to do. Both are as long as they are, see `shortened`.
        facts: The same for a program, as plain JSON values.
    """

    event: str
    subject: str
    occasion: str
    title: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def notice(event: str, subject: str, occasion: str, title: str, *lines: str, **facts: Any) -> Notice:
    """A notice of all that there is to say: it is cut once it holds no secret, of which half would be no less one."""
    text = "\n".join(line for line in (*lines[:-1], " ".join(lines[-1].split())) if line)
    return Notice(event, subject[:128], occasion[:128], title, text, facts)


def shortened(title: str, text: str) -> tuple[str, str]:
    """No more than `MOST_TITLE` and `MOST_TEXT` characters; the last line is never cut off."""
    body, _, last = text.rpartition("\n")
    last = shorten(last, MOST_TEXT // 2, placeholder=" ...")
    room = MOST_TEXT - len(last) - 1
    body = body if len(body) <= room else body[: room - 4].rstrip() + " ..."
    return shorten(title, MOST_TITLE, placeholder=" ..."), "\n".join(part for part in (body, last) if part)


def digest(*parts: object, numbers: bool = True) -> str:
    """What tells one set of facts from another; without `numbers`, two that differ in digits alone are the same."""
    text = "\0".join(map(str, parts))
    return hashlib.sha256((text if numbers else _DIGITS.sub("#", text)).encode()).hexdigest()[:16]
