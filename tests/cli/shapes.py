"""The shape of an answer as the line `JSON:` of a command's help states it, and whether an answer has it.

name        a text, a number, true, false or null, or a list of these
name?       may be left out
name[a, b]  a list of objects with these keys; name{a, b} one such object, or null
*           further ones beside those that are named
name[*]     a list of objects whose keys the command's own page lists; name{*} an object by name
"""

import re
from functools import cache
from typing import Any

from typer.main import get_command

from scizor_dagster.cli.app import app
from scizor_dagster.cli.teaching import walk

SERVES = {("dev",), ("serve",)}
"""What runs until it is stopped, and has no answer but its own words."""
_WORD = re.compile(r"\s*([\w /.-]+|\*)(\?)?\s*([\[{])?")
_CLOSED = {"[": "]", "{": "}"}
_AS_ANOTHER = re.compile(r"as scizor ([a-z -]+) answers")
Parts = dict[str, tuple[bool, str, Any]]


@cache
def lessons() -> dict[tuple[str, ...], Any]:
    """What the help of each command says, by its words."""
    return {path: command.lesson for path, command in walk(get_command(app))}


def shapes_of(path: tuple[str, ...]) -> list[Parts]:
    """The shapes that the answer of a command may have; further ones stand behind a condition, after a full stop."""
    found = []
    for number, sentence in enumerate(lessons()[path].answer.rstrip(".").split(". ")):
        _, colon, stated = sentence.partition(": ")
        another = _AS_ANOTHER.fullmatch(stated) if colon else None
        if another is not None:
            found += shapes_of(tuple(another[1].split()))
        elif number == 0 or colon:
            found.append(_shape(stated if colon else sentence))
    return found


def differences(path: tuple[str, ...], body: Any) -> list[str]:
    """How an answer differs from the nearest of the shapes that are stated for its command; not at all from none."""
    if not lessons()[path].answer:
        return []
    return min((_problems(body, parts) for parts in shapes_of(path)), key=len)


def _shape(text: str) -> Parts:
    found, end = _parts(text + "}", 0)
    assert end == len(text) + 1, text
    return found


def _parts(text: str, at: int) -> tuple[Parts, int]:
    parts: Parts = {}
    while True:
        word = _WORD.match(text, at)
        assert word is not None, f"{text[at:]!r} is no key"
        at, kind, inner = word.end(), word[3] or "", {}
        if kind:
            inner, at = _parts(text, at)
            assert text[at - 1] == _CLOSED[kind], text
        optional = bool(word[2]) or text[at : at + 1] == "?"
        at += bool(kind and text[at : at + 1] == "?")
        parts[word[1].strip()] = (optional, kind, inner)
        at += len(text[at:]) - len(text[at:].lstrip())
        if text[at] in "]}":
            return parts, at + 1
        assert text[at] == ",", text[at:]
        at += 1


def _problems(body: Any, parts: Parts, place: str = "") -> list[str]:
    """What of `body` is otherwise than it is stated."""
    if set(parts) == {"*"}:
        return []
    if not isinstance(body, dict):
        return [f"{place or 'the answer'} is no object"]
    further, parts = "*" in parts, {name: part for name, part in parts.items() if name != "*"}
    needed = {name for name, (optional, *_) in parts.items() if not optional}
    found = [f"{place}{name} is missing" for name in sorted(needed - set(body))]
    found += [f"{place}{name} is not stated" for name in sorted(set(body) - set(parts)) if not further]
    for name, (_, kind, inner) in parts.items():
        value = body.get(name)
        if kind == "[" and value is not None:
            rows = value if isinstance(value, list) else [None]
            found += [line for row in rows for line in _problems(row, inner, f"{place}{name}[].")]
        elif kind == "{" and value is not None:
            found += _problems(value, inner, f"{place}{name}.")
        elif not kind and (
            isinstance(value, dict) or (isinstance(value, list) and any(isinstance(row, dict | list) for row in value))
        ):
            found.append(f"{place}{name} has parts that are not stated")
    return found
