"""JUnit's XML, which build servers read: one case for each check.

What belongs here: the format. What does not: what counts as failed (the caller says so).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

from scizor_dagster.tabular.whole_files import write_whole

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One case. `problem`: why it failed; `note`: what is worth knowing of one that did not."""

    group: str
    name: str
    problem: str | None = None
    note: str = ""


def write_junit(path: Path, suite: str, cases: Sequence[Case]) -> None:
    """Write the file whole, or not at all.

    Raises:
        InputError: it cannot be written.
    """
    data = junit(suite, cases)
    write_whole(
        [(path.name, data)], path.parent, what="The report", remedy="Name a file in a folder that you may write to."
    )


def junit(suite: str, cases: Sequence[Case]) -> bytes:
    """The document, in UTF-8."""
    failures = sum(case.problem is not None for case in cases)
    counts = {"name": suite, "tests": str(len(cases)), "failures": str(failures), "errors": "0"}
    root = Xml.Element("testsuites")
    parent = Xml.SubElement(root, "testsuite", counts)
    for case in cases:
        child = Xml.SubElement(parent, "testcase", {"classname": _clean(case.group), "name": _clean(case.name)})
        if case.problem is not None:
            Xml.SubElement(child, "failure", {"message": _clean(case.problem)}).text = _clean(case.problem)
        elif case.note:
            Xml.SubElement(child, "system-out").text = _clean(case.note)
    Xml.indent(root)
    text: str = Xml.tostring(root, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{text}\n".encode()


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
