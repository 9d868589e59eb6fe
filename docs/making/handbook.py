"""Pages of codes: every family with what each code means and what to do, and all codes from A to Z.

What belongs here: joining the codes of the code (`codes`) with the words of `docs/handbook/*.yaml`. What does not:
either of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from docs.making.codes import FAMILIES, numbers_of_tws

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FOLDER = Path(__file__).resolve().parents[1] / "handbook"


@dataclass(frozen=True)
class Family:
    """One list of codes with its words. `entries` has meaning and remedy by code, in the order of the code."""

    name: str
    title: str
    seen: str
    intro: str
    entries: dict[str, tuple[str, str]]


@cache
def families() -> tuple[Family, ...]:
    return tuple(family(name) for name in FAMILIES)


def family(name: str) -> Family:
    """A family with exactly the codes that the code has.

    Raises:
        ValueError: a code has no entry, or an entry has no code any more.
    """
    words: dict[str, Any] = yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), _LOADER)  # noqa: S506
    codes, entries = FAMILIES[name](), words["codes"]
    missing, idle = [code for code in codes if code not in entries], [code for code in entries if code not in codes]
    if missing or idle:
        problem = f"docs/handbook/{name}.yaml lacks {missing or 'nothing'}, and has {idle or 'nothing'} too many"
        raise ValueError(f"{problem}: write what each means and what to do, or take it out.")
    found = {code: (_filled(code, entries[code]["means"]), str(entries[code]["do"])) for code in codes}
    return Family(name, words["title"], words["seen"], words["intro"].strip(), found)


def _filled(code: str, means: str) -> str:
    return means.replace("{codes}", numbers_of_tws(code)) if "{codes}" in means else means


def pages() -> dict[str, str]:
    """Markdown by its place below `docs`."""
    found = {f"handbook/{item.name}.md": _page(item) for item in families()}
    return found | {"handbook/all-codes.md": _all_codes()}


def titles() -> list[dict[str, str]]:
    """Entries of the navigation."""
    listed = [{item.title: f"handbook/{item.name}.md"} for item in families()]
    return [{"Every code, from A to Z": "handbook/all-codes.md"}, *listed]


def overview() -> str:
    """A table of the families, for the first page of the handbook."""
    rows = [f"| [{item.title}]({item.name}.md) | {item.seen} | {len(item.entries)} |" for item in families()]
    return "\n".join(["| list | where you see them | codes |", "|---|---|---|", *rows])


def _page(item: Family) -> str:
    rows = [f"| `{code}`{{#{anchor(code)}}} | {means} | {do} |" for code, (means, do) in item.entries.items()]
    head = [f"# {item.title}", "", item.intro, "", f"Where you see them: {item.seen}.", ""]
    return "\n".join([*head, "| code | what it means | what to do |", "|---|---|---|", *rows, ""])


def _all_codes() -> str:
    found = sorted((code, item.title, item.name) for item in families() for code in item.entries)
    rows = [f"| `{code}` | [{title}]({name}.md#{anchor(code)}) |" for code, title, name in found]
    head = "# Every code, from A to Z\n\nA code may stand in several lists; where you saw it says which is meant.\n"
    return "\n".join([head, "| code | list |", "|---|---|", *rows, ""])


def anchor(code: str) -> str:
    return code.replace(" ", "-")
