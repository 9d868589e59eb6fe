"""The blocks of the documentation: what a reader would type, what it prints, and what is a file.

A comment right above a block says what becomes of it in a test:

    <!-- run: SCENE -->, or with `at HH:MM` of the scene's exchange, or with `exits N`
    <!-- not run: WHY -->
    <!-- file: PATH -->, or `part of: PATH` for keys that are put into a YAML file

A command is what follows `$ ` in a block of the language `console`, with what it prints below it; in any other block, a
line that begins with `scizor` or `make`.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<lang>\w*)\s*$")
_MARKER = re.compile(r"<!-- (run|not run|file|part of): (.+?) -->$")
_COMMENT = re.compile(r"\s{2,}#\s.*$|\s+#\s.*$")
_INLINE = re.compile(r"`(scizor(?: [^`]+)?)`")


@dataclass(frozen=True)
class Command:
    """One command line, and the lines that the page shows below it."""

    line: str
    shows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """`marker` is the word of the comment above it, `says` what follows it; both empty without one."""

    page: str
    number: int
    lang: str
    text: str
    marker: str = ""
    says: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.number}"

    @property
    def commands(self) -> list[Command]:
        if self.lang == "console":
            return list(_prompted(self.text))
        return [Command(_plain(line)) for line in self.text.splitlines() if re.match(r"(scizor|make) ", line)]


def pages() -> list[Path]:
    """Every page that people write, the README and CONTRIBUTING included."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def all_blocks() -> list[Block]:
    return [block for path in pages() for block in blocks_of(path)]


def blocks_of(path: Path) -> list[Block]:
    """Fenced and indented blocks of a page, in their order."""
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    lines = path.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence:
            end = next(row for row in range(at + 1, len(lines)) if lines[row].strip() == "```")
            text = "\n".join(line.removeprefix(fence["indent"]) for line in lines[at + 1 : end])
            found.append(Block(name, at + 1, fence["lang"], text, *_marker(lines, at)))
            at = end
        elif re.match(r" {4}\S", lines[at]) and (at == 0 or not lines[at - 1].strip()) and not _in_list(lines, at):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            text = "\n".join(line[4:] for line in lines[at:end]).rstrip()
            found.append(Block(name, at + 1, "", text, *_marker(lines, at)))
            at = end - 1
        at += 1
    return found


def _in_list(lines: list[str], at: int) -> bool:
    before = next((line for line in reversed(lines[:at]) if line.strip()), "")
    return bool(re.match(r"\s*([-*]|\d+\.) ", before))


def _marker(lines: list[str], at: int) -> tuple[str, str]:
    before = at - 1
    while before >= 0 and not lines[before].strip():
        before -= 1
    found = _MARKER.match(lines[before].strip()) if before >= 0 else None
    return (found[1], found[2]) if found else ("", "")


def _prompted(text: str) -> Iterator[Command]:
    line, shows = "", []
    for row in text.splitlines():
        if row.startswith("$ "):
            if line:
                yield Command(line, tuple(shows))
            line, shows = _plain(row[2:]), []
        else:
            shows.append(row)
    if line:
        yield Command(line, tuple(shows))


def _plain(line: str) -> str:
    return _COMMENT.sub("", line).strip()


def inline_commands() -> list[tuple[str, str]]:
    """Commands within sentences, with their pages; the texts of the handbook included."""
    texts = [*pages(), *sorted((ROOT / "docs" / "handbook").glob("*.yaml"))]
    found = []
    for path in texts:
        text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        text = "\n".join(line for line in text.splitlines() if not line.startswith("    $"))
        found += [(path.relative_to(ROOT).as_posix(), " ".join(item.split())) for item in _INLINE.findall(text)]
    return found


def words_of(line: str) -> list[str]:
    """The words of a command line, without what a shell would do with them."""
    return shlex.split(line)
