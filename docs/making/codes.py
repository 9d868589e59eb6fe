"""Every code that a person can meet, out of the places in the code that have it: one list for each family.

What belongs here: where the codes are. What does not: what they mean (`docs/handbook/*.yaml`), and pages (`handbook`).
A family is an enumeration, a constant, or the literals that stand in the calls of a function; a code that is not in
one of them has no page, and a code without an entry fails the build.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = "scizor_dagster"


def members(*paths: str) -> list[str]:
    """Values of enumerations (`package.module:Name`), in the order of the code, without repetition."""
    found: dict[str, None] = {}
    for path in paths:
        module, _, name = path.partition(":")
        thing = getattr(importlib.import_module(f"{DOMAIN}.{module}"), name)
        values = getattr(thing, "__args__", None) or thing
        found |= dict.fromkeys(str(getattr(value, "value", value)) for value in values)
    return list(found)


def literals(files: str, calls: Mapping[str, int | str]) -> list[str]:
    """Texts that stand at a place (a number, or a keyword) of calls of the named functions, in the order of the code.

    A name that the module has as a constant is its text; of `a if b else c` both are taken; an f-string, a variable
    and an attribute are none.
    """
    found: dict[str, None] = {}
    for path in _modules(files):
        if not any(f"{name}(" in _text(path) for name in calls):
            continue
        tree = _tree(path)
        constants = _constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (place := calls.get(_called(node))) is not None:
                found |= dict.fromkeys(_texts(_at(node, place), constants))
    return list(found)


def _modules(files: str) -> list[Path]:
    return sorted(path for pattern in files.split() for path in ROOT.glob(pattern))


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(_text(path))


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _at(node: ast.Call, place: int | str) -> ast.expr | None:
    if isinstance(place, str):
        return next((item.value for item in node.keywords if item.arg == place), None)
    return node.args[place] if len(node.args) > place else None


def _texts(node: ast.expr | None, constants: Mapping[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and node.id in constants:
        yield constants[node.id]
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, constants)
        yield from _texts(node.orelse, constants)


def _constants(tree: ast.Module) -> dict[str, str]:
    """Names of the module that are texts: its own, and those that it imports from another module of the domain."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(DOMAIN):
            path = ROOT / f"{(node.module or '').replace('.', '/')}.py"
            if path.is_file() and any(alias.name.isupper() for alias in node.names):
                found |= _own_constants(_tree(path))
    return found | _own_constants(tree)


def _own_constants(tree: ast.Module) -> dict[str, str]:
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _watchdog() -> list[str]:
    files = "scizor_dagster/flow/watch*.py scizor_dagster/flow/open_breaks.py scizor_dagster/cli/watchdog.py"
    kinds = literals("scizor_dagster/flow/watch_inputs.py", {"_finding": 0})
    chosen = _texts_of_name("scizor_dagster/flow/watch_inputs.py", "kind")
    return _unique([*literals(files, {"Finding": 0}), *kinds, *chosen])


def _metric_alerts() -> list[str]:
    import yaml

    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
    return [rule["alert"] for group in rules["groups"] for rule in group["rules"]]


def _texts_of_name(file: str, name: str) -> list[str]:
    """Texts that are assigned to a local name anywhere in the module, the first of a tuple of them included."""
    return [text for value in _assigned(file, name) for text in _texts(value, {})]


def _assigned(file: str, name: str) -> Iterator[ast.expr]:
    for node in ast.walk(_tree(ROOT / file)):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=False)
                yield from (value for part, value in pairs if isinstance(part, ast.Name) and part.id == name)


def _limits() -> list[str]:
    from scizor_dagster.risk.limits import NUMBERS

    checks = literals(
        "scizor_dagster/risk/checks.py", {"_stop": 0, "_held": 0, "_share": 0, "_of_equity": 0, "Finding": 0}
    )
    return _unique([*NUMBERS, *checks, *literals("scizor_dagster/execution/permissions.py", {"Finding": 0})])


def _gates() -> list[str]:
    return literals(f"{DOMAIN}/**/*.py", dict.fromkeys(_STOPS, "limit"))


_STOPS = ("RunStopped", "WrongAccount", "RiskLimitBreached")


def _locks() -> list[str]:
    from typing import get_args

    from scizor_dagster.config import Protection

    kinds = [get_args(item.model_fields["kind"].annotation)[0] for item in get_args(get_args(Protection)[0])]
    named = literals(f"{DOMAIN}/flow/risk.py {DOMAIN}/execution/corrections.py", {"DueLock": 1})
    return _unique([*kinds, *named])


_RULES = {
    "Violation": 0, "BadCell": 0, "_Refused": 0, "_dated": 3, "_weight": 2, "_sum": 3, "_held": 0, "_violation": 0,
    "violation": 2, "_at_header": 1, "_refuse": 0,
}  # fmt: skip


def _weight_rules() -> list[str]:
    files = f"{DOMAIN}/signals/*.py {DOMAIN}/flow/strategies.py"
    counted = [f"too_many_{what}" for what in literals(f"{DOMAIN}/signals/*.py", {"too_many": 0})]
    found = _first_of_tuples(f"{DOMAIN}/signals/mapping.py", "found")
    missing = _texts_of_name(f"{DOMAIN}/signals/readers.py", "rule")
    steps = _texts_of_name(f"{DOMAIN}/cli/signals.py", "step")
    refusals = literals(f"{DOMAIN}/signals/*.py", {"WeightFileMissing": 3})
    defaults = ["file_missing"]
    return _unique([*literals(files, _RULES), *counted, *found, *defaults, *missing, *refusals, *steps])


def _first_of_tuples(file: str, name: str) -> list[str]:
    tuples = (value for value in _assigned(file, name) if isinstance(value, ast.Tuple))
    return [text for value in tuples for text in _texts(value.elts[0], {})]


def _session_states() -> list[str]:
    from scizor_dagster.flow.summary import HELD_BACK

    states = ("ledger.states:BatchState", "execution.result:ExecutionState", "reconciliation.model:ReconciliationState")
    return [*members(*states), HELD_BACK]


def _bars() -> list[str]:
    from scizor_dagster.market_data import plausibility, quality, rates, refetch

    return _unique([*quality.REASONS, *plausibility.REASONS, refetch.RESTATED, *rates.REASONS])


def _checks() -> list[str]:
    named = literals("assets/*.py", {"FactCheck": 1})
    schemas = literals("assets/*.py", {"SchemaCheck": 2})
    return _unique(["rows_match_schema", *schemas, *named])


def _doctor() -> list[str]:
    from scizor_dagster.cli.doctor import CHECKS, FIRST_CHECKS
    from scizor_dagster.cli.doctor_deep import DEEP_CHECKS

    return [*FIRST_CHECKS, *CHECKS, *DEEP_CHECKS]


def _errors() -> list[str]:
    """Names of the error tree, each below what it is a kind of."""
    from scizor_dagster import errors

    def below(kind: type[Exception]) -> Iterator[str]:
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield child.__name__
                yield from below(child)

    return _unique(["ScizorError", *below(errors.ScizorError)])


def _unique(codes: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(codes))


def numbers_of_tws(meaning: str) -> str:
    """The numbers that TWS means it by."""
    from scizor_dagster.brokers.ibkr.codes import MEANINGS

    return ", ".join(str(code) for code, meant in sorted(MEANINGS.items()) if meant.value == meaning)


FAMILIES: dict[str, Callable[[], list[str]]] = {
    "alerts": _watchdog,
    "metric-alerts": _metric_alerts,
    "notices": lambda: members("config.notifications:Event"),
    "plan-reasons": lambda: members("planning.model:Reason"),
    "breaks": lambda: members("reconciliation.model:BreakKind"),
    "break-classes": lambda: members("reconciliation.model:BreakClass", "reconciliation.model:Severity"),
    "limits": _limits,
    "gates": _gates,
    "locks": _locks,
    "order-states": lambda: members("ledger.states:IntentState"),
    "session-states": _session_states,
    "trading-states": lambda: members("risk.trading_state:TradingState", "ledger.strategies:StrategyState"),
    "weight-rules": _weight_rules,
    "bars": _bars,
    "feed-faults": lambda: members(
        "market_data.feed_faults:FaultKind", "market_data.restated_series:RestatementKind",
        "market_data.revisions:Reason",
    ),
    "missing-bars": lambda: members("market_data.absences:Absence", "market_data.provider:FailureReason"),
    "symbols": lambda: members("market_data.provider:SymbolReason"),
    "checks": _checks,
    "doctor": _doctor,
    "tws-codes": lambda: members("brokers.ibkr.codes:Meaning"),
    "alpaca-outcomes": lambda: members("brokers.alpaca.outcomes:Outcome"),
    "errors": _errors,
}  # fmt: skip
"""Every family by the name of its file in `docs/handbook`, in the order of the handbook."""
