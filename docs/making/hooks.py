"""What MkDocs calls while it builds: pages out of the code, diagrams in their places, and no page left out.

What belongs here: joining. What does not: any page (the modules beside this one).
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")

from mkdocs.structure.files import File, Files  # noqa: E402

from docs.making import configuration, handbook, metrics, reference, tables  # noqa: E402
from docs.making.diagrams import DIAGRAMS  # noqa: E402

_ASKED = re.compile(r"<!-- (diagram|codes|metrics)(?:: ([a-z-]+))? -->")
_OF_A_TEST = re.compile(r"^<!-- (?:run|not run|shows|file)\b.*?-->\n", re.MULTILINE | re.DOTALL)
LATER = "More"
"""Where pages stand that the navigation does not name."""


def on_config(config: Any) -> Any:
    """Complete the navigation by what is made, and by pages that it does not name."""
    sections = {name: items for entry in config.nav for name, items in entry.items()}
    sections["Operator's handbook"] += handbook.titles()
    sections["Reference"] += [
        {"Configuration, every key": "reference/config-keys.md"},
        {"Manifest, every key": "reference/manifest-keys.md"},
        {"Tables of the lake": "reference/lake.md"},
        {"Tables of the ledger": "reference/ledger.md"},
        *reference.titles(),
    ]
    docs = Path(config.docs_dir)
    decisions = [f"adr/{path.name}" for path in sorted((docs / "adr").glob("*.md"))]
    sections["Decisions"] += [name for name in decisions if name not in sections["Decisions"]]
    named = set(_named(config.nav))
    others = [path.relative_to(docs).as_posix() for path in sorted(docs.rglob("*.md"))]
    left = [name for name in others if name not in named]
    if left:
        sections["Guides"].append({LATER: left})
    return config


def _named(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    items = entry.values() if isinstance(entry, dict) else entry
    return [name for item in items for name in _named(item)]


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from the code."""
    made = handbook.pages() | configuration.pages() | tables.pages() | reference.pages()
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put diagrams and lists where a page asks for them, and take out what only tests read."""

    def made(asked: re.Match[str]) -> str:
        if asked[1] == "metrics":
            return metrics.table()
        return handbook.overview() if asked[1] == "codes" else DIAGRAMS[asked[2]]()

    return _ASKED.sub(made, _OF_A_TEST.sub("", markdown))
