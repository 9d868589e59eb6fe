"""Nothing reaches a broker except through the choke point, and every stop is a row."""

import ast
from pathlib import Path

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.events import risk_events_of
from tests.execution.scenario import MONDAY, TUESDAY, D, model, order, plan_of, run

SUBMISSION = "scizor_dagster/execution/submission.py"
OTHERS = {"pool", "executor", "_thread", "runs", "_webserver"}
"""`submit` of a thread pool, and of a run to Dagster, is another word."""


def _submits(source: str) -> list[int]:
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "submit":
            owner = node.value.id if isinstance(node.value, ast.Name) else getattr(node.value, "attr", "")
            if owner not in OTHERS:
                lines.append(node.lineno)
        if isinstance(node, ast.Constant) and node.value == "submit":
            lines.append(node.lineno)
    return lines


def test_one_line_of_one_module_calls_a_brokers_submit(project_root: Path) -> None:
    found = {}
    for package in ("scizor_dagster", "assets", "resources", "jobs"):
        for path in sorted((project_root / package).rglob("*.py")):
            name = path.relative_to(project_root).as_posix()
            # Adapters and the embedded exchange are the broker's side of the call.
            if not name.startswith(("scizor_dagster/brokers/", "scizor_dagster/paper_exchange/")):
                lines = _submits(path.read_text(encoding="utf-8"))
                if lines:
                    found[name] = len(lines)
    assert found == {SUBMISSION: 1}


def test_the_search_for_submit_finds_a_hidden_one() -> None:
    assert _submits("def f(b):\n    g = b.submit\n    getattr(b, 'submit')(1)\n    pool.submit(f)\n") == [
        2,
        3,
    ]


def test_the_send_function_is_imported_by_the_protocol_alone(project_root: Path) -> None:
    importers = set()
    for path in sorted((project_root / "scizor_dagster").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "scizor_dagster.execution.submission":
                importers.add(path.relative_to(project_root).as_posix())
    assert importers == {"scizor_dagster/execution/drive.py", "scizor_dagster/execution/recovery.py"}


def _names(source: str, wanted: set[str]) -> set[str]:
    """Which of `wanted` a module names, as a variable, an attribute, an import or a string."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        for text in (
            getattr(node, "id", None),
            getattr(node, "attr", None),
            getattr(node, "name", None),
            getattr(node, "value", None) if isinstance(node, ast.Constant) else None,
            getattr(node, "arg", None),
        ):
            if isinstance(text, str) and text in wanted:
                found.add(text)
    return found


def _users(project_root: Path, wanted: set[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for package in ("scizor_dagster", "assets", "resources", "jobs"):
        for path in sorted((project_root / package).rglob("*.py")):
            for name in _names(path.read_text(encoding="utf-8"), wanted):
                found.setdefault(name, set()).add(path.relative_to(project_root).as_posix())
    return found


def test_only_the_verdict_of_the_choke_point_clears_an_order_and_only_a_cleared_one_is_marked(
    project_root: Path,
) -> None:
    found = _users(project_root, {"check_order", "mark_sending", "cleared_hash"})
    # A preview asks and throws the verdict away.
    preview = "scizor_dagster/execution/preview.py"
    assert found["check_order"] == {"scizor_dagster/risk/pre_trade.py", SUBMISSION, preview}
    assert found["mark_sending"] == {"scizor_dagster/ledger/intents.py", SUBMISSION}
    # Written where a verdict is recorded or a broker's own order is taken in, and read where the ledger asks for one.
    assert {name for name in found["cleared_hash"] if "/migrations/" not in name} == {
        "scizor_dagster/execution/verdicts.py",
        "scizor_dagster/ledger/batches.py",
        "scizor_dagster/ledger/intents.py",
        "scizor_dagster/ledger/rebuilt.py",
        "scizor_dagster/ledger/rows.py",
        "scizor_dagster/ledger/tables.py",
    }


def test_the_search_for_names_finds_hidden_ones() -> None:
    source = "from a import check_order as c\nx.mark_sending()\nf(cleared_hash=1)\ng = getattr(x, 'other')\n"
    wanted = {"check_order", "mark_sending", "cleared_hash", "other", "absent"}
    assert _names(source, wanted) == wanted - {"absent"}


def test_an_order_above_a_limit_is_blocked_with_a_row_and_the_others_go_on(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    orders = [order("big", "CCC", Side.BUY, "30"), order("small", "DDD", Side.BUY, "3")]
    result = run(ledger, broker, plan_of(orders), starting_cash=D(10_000), max_notional_per_order=D(500))
    assert result.state is ExecutionState.DONE
    assert {row.client_order_id: row.state.value for row in result.orders} == {
        "big": "blocked",
        "small": "filled",
    }
    assert result.orders[0].reason == "max_notional_per_order: 600 against 500 allowed"
    with ledger.read() as connection:
        (event,) = risk_events_of(connection, "paper", MONDAY)
        assert risk_events_of(connection, "paper", TUESDAY) == []
    assert (event.limit, event.value, event.threshold, event.verdict) == (
        "max_notional_per_order",
        "600",
        "500",
        "stopped",
    )
    assert broker.book.attempts == ["small"]
