"""How the commands of the pages are run: what is typed in the tutorial's folder in the place of what an example shows.

A page shows dates and names of its own; here they become those of the tutorial. What needs another stage than that
folder is run by the test that is named, word for word the same command.
"""

import re

DATES = (
    (r"--from 2026-01-0[12] --to 2026-\d\d-\d\d", "--from 2025-03-03 --to 2025-03-14"),
    (r"--from 2026-11-02 --to 2026-11-30", "--from 2025-03-03 --to 2025-03-14"),
    (r"--from 2026-11-01", "--from 2025-03-01"),
    (r"2026-11-\d\d", "2025-03-10"),
    (r"\bdemo_momentum\b", "mine"),
)
"""Dates and names of examples, and those that the tutorial has traded or collected."""

TYPED = {
    "scizor data show AAPL --prices total_return":
        "scizor data show AAPL --prices total_return --start-date 2025-01-02 --end-date 2025-03-14",
    "scizor data show AAPL --as-of 2026-10-01":
        "scizor data show AAPL --as-of 2036-10-01 --start-date 2025-01-02 --end-date 2025-03-14",
    "scizor backtest show ID --symbol AAPL --date 2024-03-01":
        "scizor backtest show first --symbol AAPL --date 2025-03-10",
    "scizor explain SCZ_20261116_1_AAPL_B_f747e0": "scizor explain $ORDER",
    "scizor explain paper-F14": "scizor explain $FILL",
    "scizor explain signals/weights.csv:2": "scizor explain weights.csv:2",
    "scizor report --portfolio main --date 2026-11-20 --open": "scizor report --portfolio main --date 2025-03-10",
    "scizor backup /mnt/elsewhere --keep 14": "scizor backup ~/kept --keep 14",
    "scizor ledger verify --against /mnt/elsewhere/scizor-20261120T210000Z":
        "scizor ledger verify --against ~/kept/scizor-*",
    "scizor reduce --account paper --reason \"drawdown, looking into it\" --until 2026-11-23T14:30:00+00:00":
        "scizor reduce --account paper --reason \"drawdown, looking into it\" --until 2036-11-24T14:30:00+00:00",
    "scizor symbols add PLTR --market us": "scizor symbols add META --market us --mic XNAS",
    "scizor symbols remove WBA --market us --reason \"taken private\"":
        "scizor symbols remove AMZN --market us --reason \"taken private\"",
}  # fmt: skip
"""What is typed for a line of a page, where its dates are not all that is another one."""

EXITS = {
    "scizor watchdog": 1,
    "scizor data quality --market us": 1,
    "scizor data gaps --market us --symbol AAPL": 1,
}
"""Exit codes other than 0: the sessions since the tutorial's are not collected, and these say so."""

ELSEWHERE = {
    "scizor plan --targets": "tests/cli/test_plan_files.py",
    "scizor demo": "tests/acceptance/conftest.py",
    "scizor paper serve": "tests/cli/test_paper.py",
    "scizor serve": "tests/api/test_serving.py",
    "scizor order": "tests/cli/test_order.py",
    "scizor explain 9f3c": "tests/cli/test_order.py",
    "scizor --install-completion": "tests/cli/test_completion.py",
    "scizor backtest run --portfolio main --from 2024-01-02 --html page.html": "tests/cli/test_backtest.py",
    "scizor backtest run --strategy momentum": "tests/cli/test_strategies.py",
    "scizor backtest run --strategy trend": "tests/cli/test_strategies.py",
    "scizor backtest run --strategy rising": "tests/cli/test_strategies.py",
    "scizor backtest optimize": "tests/cli/test_optimize.py",
    "scizor collect daily": "tests/cli/test_sessions.py",
    "scizor collect history": "tests/cli/test_bring_your_own.py",
    "scizor run": "tests/cli/test_sessions.py",
    "scizor rates": "tests/cli/test_rates.py",
    "scizor prices accept": "tests/cli/test_prices.py",
    "scizor parity": "tests/acceptance/test_parity_over_250_sessions.py",
    "scizor risk accept-break": "tests/docs/test_commands.py",
    "scizor adopt": "tests/cli/test_adopt.py",
    "scizor arm": "tests/cli/test_permissions.py",
    "scizor disarm": "tests/cli/test_permissions.py",
    "scizor approve": "tests/cli/test_permissions.py",
    "scizor signals approve": "tests/cli/test_approvals.py",
    "scizor symbols join": "tests/cli/test_symbols.py",
    "scizor symbols part": "tests/cli/test_symbols.py",
    "scizor reconcile": "tests/cli/test_sessions.py",
    "scizor verify": "tests/cli/test_verify.py",
}  # fmt: skip
"""The beginning of a line, and the test that runs it on a stage of its own."""

IN_FULL_BY = {
    "docs/bring-your-own.md": "tests/cli/test_bring_your_own.py",
}
"""Pages that a test of their own follows from the first block to the last."""


def typed(line: str) -> str:
    """What is typed for a line of a page."""
    if line in TYPED:
        return TYPED[line]
    for old, new in DATES:
        line = re.sub(old, new, line)
    return line


def elsewhere(line: str) -> str | None:
    """The test that runs it, where the tutorial's folder is no stage for it."""
    return next((test for start, test in ELSEWHERE.items() if line.startswith(start)), None)
