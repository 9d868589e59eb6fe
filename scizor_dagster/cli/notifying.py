"""`scizor notify`: who is told what, and whether a notice arrives.

What belongs here: the command. What does not: telling (`notifications`), and what is told (`flow.notices`).
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import open_desk

if TYPE_CHECKING:
    from scizor_dagster.config.notifications import NotificationRules
    from scizor_dagster.notifications.notifier import Notifier

NOBODY = "No target is configured: nothing was sent, and a notice is a line in the log. See docs/notifications.md."


def notify(
    test: Annotated[bool, typer.Option("--test", help="Send a test notice to every target.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say who is told what; with --test, send each of them a notice and say whether it went.

    Addresses are shown by their kind alone.

    When: after somebody was added under notifications in the configuration.
    Writes: Nothing; with --test a notice goes to each target.
    Exit codes: 0 every notice went; 1 one did not.
    JSON: targets[target, kind, events?, went?, failure?], events{*}?, ok?, note?.
    Example: scizor notify --test
    """
    from scizor_dagster.flow.notifying import notifier_of
    from scizor_dagster.flow.watch_notices import remembering_ledger
    from scizor_dagster.notifications import texts

    desk = open_desk()
    notifier = notifier_of(desk, cache(partial(remembering_ledger, desk.settings)))
    rules = notifier.rules
    if not test:
        _show(notifier, rules, as_json)
        return
    outcomes = notifier.tell([texts.trial(desk.machine_clock())]) if rules.tells_somebody else []
    rows = [{"target": item.target, "kind": item.kind, "went": item.went, "failure": item.failure} for item in outcomes]
    missing = len(notifier.channels) - len(outcomes)
    failed = missing or any(not item.went for item in outcomes)
    if as_json:
        emit_json({"ok": not failed, "targets": rows, "note": "" if rules.tells_somebody else NOBODY})
    elif not rules.tells_somebody:
        typer.echo(NOBODY)
    else:
        print_table(
            "scizor notify --test",
            ["target", "kind", "went", "why not"],
            [(row["target"], row["kind"], "yes" if row["went"] else "no", row["failure"]) for row in rows],
        )
        if missing:
            typer.secho(f"{missing} target(s) were not reached: the ones before took too long.", err=True)
    raise typer.Exit(1 if failed else 0)


def _show(notifier: Notifier, rules: NotificationRules, as_json: bool) -> None:
    from scizor_dagster.config.notifications import Event

    events = {name: rules.is_on(name) for name in get_args(Event)}
    targets: list[dict[str, Any]] = [
        {
            "target": item.name,
            "kind": item.kind,
            "events": [name for name, is_on in events.items() if is_on and item.takes(name)],
        }
        for item in notifier.channels
    ]
    if as_json:
        emit_json({"targets": targets, "events": events})
        return
    print_table(
        "scizor notify",
        ["target", "kind", "is told of"],
        [(row["target"], row["kind"], ", ".join(row["events"])) for row in targets],
    )
    off = [name for name, is_on in events.items() if not is_on]
    typer.echo(f"Switched off: {', '.join(off) or 'nothing'}.")
    if not targets:
        typer.echo(NOBODY)
