"""The diagrams of the architecture, made from the code when the site is built.

What belongs here: what is drawn, and where in the code it stands. What does not: how it looks (`drawing`).
"""

from __future__ import annotations

import ast
import re
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from docs.making.drawing import Arrow, Box, Message, layered, sequence

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = frozenset({"__init__", "__main__", "version", "jobnames"})
"""Modules that everything or nothing imports, and that say nothing about the layers."""


@cache
def _assets() -> tuple[tuple[str, ...], tuple[Arrow, ...]]:
    """Every asset of the shipped configuration, and from what each is made."""
    from scizor_dagster.definitions import build_defs
    from scizor_dagster.settings import Settings

    with tempfile.TemporaryDirectory() as home:
        defs = build_defs(Settings.from_environment({"SCIZOR_HOME": home}))
    shown = {spec.key: "/".join(spec.key.path) for spec in defs.resolve_all_asset_specs()}
    arrows = [
        Arrow(shown[dep.asset_key], shown[spec.key])
        for spec in defs.resolve_all_asset_specs()
        for dep in spec.deps
        if dep.asset_key in shown
    ]
    return tuple(sorted(shown.values())), tuple(_reduced(arrows))


def asset_graph() -> str:
    """Every asset of the shipped configuration, with what it is made from."""
    names, kept = _assets()
    joined = {end for arrow in kept for end in (arrow.start, arrow.end)}
    boxes = [Box(name, _group(name)) for name in names if name in joined]
    alone = ", ".join(f"`{name}`" for name in names if name not in joined)
    return layered(boxes, kept, "Assets of the shipped configuration") + f"\n\nWithout an arrow: {alone or 'none'}.\n"


def flow() -> str:
    """The way through one market and one portfolio, by the names that every one of them has."""
    names, kept = _assets()
    boxes = [Box(name, _group(name), name.split("/")[1]) for name in names if name.partition("/")[0] in ("us", "main")]
    return layered(boxes, kept, "From symbols to performance, through one market and one portfolio", gap=30)


def _group(name: str) -> str:
    return {"main": "portfolio", "us": "market", "asx": "market"}.get(name.partition("/")[0], "other")


def packages() -> str:
    """Which package imports which: arrows lead from the one that imports, those that follow from others left out."""
    core = _core()
    edges = package_imports()
    names = sorted({end for edge in edges for end in edge})
    kinds = {name: "core" if name in core else "door" if name in _DOORS else "" for name in names}
    arrows = _reduced([Arrow(*edge) for edge in sorted(edges)])
    return layered([Box(name, kinds[name]) for name in names], arrows, "Packages by what they import", downwards=True)


_DOORS = frozenset({"cli", "api", "definitions", "jobs", "assets", "resources"})


def _core() -> frozenset[str]:
    """The order core, as the contract of import-linter lists it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (found,) = [item for item in contracts if item["name"].startswith("The order core")]
    return frozenset(name.removeprefix("scizor_dagster.") for name in found["source_modules"])


def package_imports() -> set[tuple[str, str]]:
    """Pairs of packages of which the first imports the second when it is loaded; of two that do so mutually, none."""
    found: set[tuple[str, str]] = set()
    for top in ("scizor_dagster", "assets", "resources", "jobs"):
        for path in sorted((ROOT / top).rglob("*.py")):
            own = _package(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for module in _imported(path.read_text(encoding="utf-8")):
                other = _package(module)
                if own and other and own != other:
                    found.add((own, other))
    return {edge for edge in found if edge[::-1] not in found}


def _imported(text: str) -> Iterator[str]:
    """Modules, and what is taken out of them, that a module imports when it is loaded."""
    for module, names in _FROM.findall(text):
        yield from (
            f"{module}.{name.split()[0]}" for name in names.strip("() \n").replace("\n", " ").split(",") if name.strip()
        )


_FROM = re.compile(r"^from ([\w.]+) import (\([^)]*\)|.*)$", re.MULTILINE)


@cache
def _package(module: str) -> str:
    """The package of a module, by its short name; empty for what is none of ours, or of no layer."""
    parts = module.split(".")
    if parts[0] in ("assets", "resources", "jobs"):
        return parts[0]
    if parts[0] != "scizor_dagster" or len(parts) < 2 or parts[1] in LEFT_OUT:
        return ""
    folder = ROOT / "scizor_dagster" / parts[1]
    return parts[1] if folder.is_dir() or folder.with_suffix(".py").is_file() else ""


def _reduced(arrows: list[Arrow]) -> list[Arrow]:
    """Without those that a longer way says already."""
    after: dict[str, set[str]] = defaultdict(set)
    for arrow in arrows:
        after[arrow.start].add(arrow.end)

    def reaches(start: str, end: str) -> bool:
        seen, waiting = {start}, [name for name in after[start] if name != end]
        while waiting:
            name = waiting.pop()
            if name == end:
                return True
            if name not in seen:
                seen.add(name)
                waiting += after[name]
        return False

    return [arrow for arrow in arrows if not reaches(arrow.start, arrow.end)]


def order_states() -> str:
    """The ways of an order, out of the ledger's one table of transitions; a step that a longer way says is left out."""
    from scizor_dagster.ledger.states import TRANSITIONS

    boxes = [
        Box(state.value, "end" if state.terminal else "at_broker" if state.at_broker else "") for state in TRANSITIONS
    ]
    arrows = [
        Arrow(old.value, new.value)
        for old, following in TRANSITIONS.items()
        for new in following
        if new is not old and not old.terminal and _forward(old.value, new.value)
    ]
    return layered(boxes, _reduced(arrows), "States of an order", gap=40)


_BACK = frozenset({("unknown", "sending"), ("partially_filled", "working"), ("working", "unknown"),
                   ("partially_filled", "unknown")})  # fmt: skip


def _forward(old: str, new: str) -> bool:
    return (old, new) not in _BACK


def order_transitions() -> str:
    """The whole table, as one: a row for each state, a column for each that may follow."""
    from scizor_dagster.ledger.states import TRANSITIONS

    states = [state.value for state in TRANSITIONS]
    head = f"| from \\ to | {' | '.join(states)} |"
    rows = [
        f"| **{old.value}** | " + " | ".join("●" if new in TRANSITIONS[old] else "" for new in TRANSITIONS) + " |"
        for old in TRANSITIONS
    ]
    return "\n".join([head, "|---" * (len(states) + 1) + "|", *rows])


RUN, LEDGER, BROKER = "run", "ledger", "broker"


def submission() -> str:
    """The way of one order, out of `execution.submission`: every transaction and every message, in their order."""
    steps = _functions(ROOT / "scizor_dagster" / "execution" / "submission.py")
    checks = _messages(steps["clear"], "read what is ready")
    marks = _messages(steps["send"], "")
    refusal, failure = _handlers(steps["_send_once"])
    messages = [
        *checks, *marks,
        Message(RUN, BROKER, "submit, once, with a timeout", "strong"),
        Message(BROKER, RUN, "an answer that proves the order"),
        *_messages(steps["_acknowledged"], ""),
        Message(BROKER, RUN, f"or {refusal}: it does not exist", "bad"),
        *_commits(steps["_send_once"], "rejected"),
        Message(BROKER, RUN, f"or any other {failure}, or none", "bad"),
        *_messages(steps["_to_unknown"], "unknown"),
    ]  # fmt: skip
    return sequence((RUN, LEDGER, BROKER), messages, "The way of one order")


_WORDS = {"record": "commit: the verdict", "mark_sending": "commit: sending", "move": "commit: its state"}


def _messages(function: ast.FunctionDef, words: str) -> list[Message]:
    """One message for each transaction that writes, by what is done in it."""
    found: list[Message] = []
    for node in ast.walk(function):
        if not isinstance(node, ast.With) or not _is_call(node.items[0].context_expr, "write"):
            continue
        done = {
            item.func.attr
            for item in ast.walk(node)
            if isinstance(item, ast.Call) and isinstance(item.func, ast.Attribute)
        }
        text = next((text for name, text in _WORDS.items() if name in done), "commit")
        found.append(Message(RUN, LEDGER, f"commit: {words}" if words and "move" in done else text, "strong"))
    if not found:
        raise ValueError(
            f"{function.name} of execution/submission.py writes nothing any more: mend docs/making/diagrams.py"
        )
    return found


def _commits(function: ast.FunctionDef, words: str) -> list[Message]:
    return [Message(item.start, item.end, f"commit: {words}", item.kind) for item in _messages(function, words)]


def _handlers(function: ast.FunctionDef) -> tuple[str, str]:
    names = [
        handler.type.id
        for node in ast.walk(function)
        if isinstance(node, ast.Try)
        for handler in node.handlers
        if isinstance(handler.type, ast.Name)
    ]
    first, second = names
    return first, second


def _functions(path: Path) -> Mapping[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _is_call(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name


DIAGRAMS = {
    "asset-graph": asset_graph,
    "flow": flow,
    "packages": packages,
    "order-states": order_states,
    "order-transitions": order_transitions,
    "submission": submission,
}
"""What a page may ask for by `<!-- diagram: NAME -->`."""
