"""Searches that are kept, on a terminal: of `scizor backtest optimize`, `list`, `show` and `delete`.

What belongs here: printing. What does not: the search (`flow.optimizing`), and keeping it (`backtest.search.kept`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scizor_dagster.cli.output import confirm, emit_json, print_table
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.backtest.search.kept import KeptSearch
    from scizor_dagster.backtest.storage import Head
    from scizor_dagster.flow.desk import Desk

_MOST_COLUMNS = 10
_MOST_ERRORS = 3


def _percent(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.2%}"


_SHOWN: Mapping[str, Callable[[Any], str]] = {
    "annual_return": _percent,
    "max_drawdown": _percent,
    "traded": "{:,.0f}".format,
    "costs": "{:,.2f}".format,
}


def print_record(record: Mapping[str, Any], top: int, *, mapped: bool) -> None:
    """What a search came to, from `Findings.record`: sets, the best, the map, windows, and the verdict."""
    from scizor_dagster.analytics.report.formats import counted, words

    typer.echo(
        f"{counted(record['sets'], 'set')} of {record['strategy']}: {record['computed']} run now, "
        f"{record['sets'] - record['computed'] - record['refused']} known from before, {record['failed']} failed, "
        f"{record['refused']} that the strategy does not take."
    )
    for error, count in list(record["errors"].items())[:_MOST_ERRORS]:
        typer.echo(f"  {count} x {error}")
    names, objective = record["axes"], record["objective"]
    rows = [
        [*(_plain(row[name]) for name in (*names, "score")), *(spell(row[name]) for name, spell in _SHOWN.items())]
        for row in record["best"][:top]
    ]
    if rows:
        shown = [words(name) for name in _SHOWN]
        print_table(f"The best by {objective}", [*names, objective, *shown], rows)
    if mapped and record["map"] is not None:
        _print_map(record["map"], objective)
    if "walk_forward" in record:
        _print_walk(record["walk_forward"], objective)
    for sentence in record["verdict"]["says"] if "verdict" in record else ["No set has a score."]:
        typer.secho(sentence, fg=typer.colors.YELLOW if sentence.startswith(("NO ", "Which", "No ")) else None)


def _print_map(drawn: Mapping[str, Any], objective: str) -> None:
    columns = range(0, len(drawn["columns"]), max(1, -(-len(drawn["columns"]) // _MOST_COLUMNS)))
    body = [
        [label, *(_plain(row[at]) for at in columns)] for label, row in zip(drawn["rows"], drawn["values"], strict=True)
    ]
    # A title would be broken to the width of a small table.
    typer.echo(f"Best {objective} by {drawn['down']} (down) and {drawn['across']} (across):")
    print_table("", ["", *(str(drawn["columns"][at]) for at in columns)], body)


def _print_walk(walked: Mapping[str, Any], objective: str) -> None:
    rows = [
        [
            f"{window['test'][0][0]} to {window['test'][-1][1]}",
            "cash" if window["parameters"] is None else ", ".join(f"{k}={v}" for k, v in window["parameters"].items()),
            _plain(window["trained"]),
            _plain(window["tested"]),
        ]
        for window in walked["windows"]
    ]
    print_table(
        "Chosen on the sessions before", ["test", "chosen", f"{objective} trained", f"{objective} tested"], rows
    )
    typer.echo(
        f"Out of sample, {walked['sessions']} sessions: {objective} {_plain(walked['score'])}, "
        f"return {walked['total_return']:.2%}."
    )


def _plain(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_searches(found: list[KeptSearch]) -> None:
    """A line for each, the newest first."""
    rows = []
    for one in found:
        said, best = one.record, next(iter(one.record.get("best", ())), None)
        chosen = ", ".join(f"{name}={_plain(best[name])}" for name in said["axes"]) if best is not None else ""
        score = "" if best is None else _plain(best["score"])
        rows.append(
            (
                one.short,
                one.strategy,
                said.get("sets", one.trials),
                said.get("objective", ""),
                score,
                chosen,
                _state(one),
            )
        )
    print_table("Searches", ["id", "strategy", "sets", "objective", "best", "set", "verdict"], rows)


def _state(one: KeptSearch) -> str:
    if not one.finished:
        return "unfinished: the same command goes on"
    verdict = one.record.get("verdict")
    if verdict is None:
        return "no set has a score"
    if verdict["is_luck"]:
        return "no better than luck"
    return "no better than the market" if verdict["is_market"] else "better than luck"


def search_json(one: KeptSearch) -> dict[str, Any]:
    """All that is kept of one; of an unfinished one, that it is."""
    return {
        "search_id": one.search_id, "strategy": one.strategy, "problem": one.problem, "finished": one.finished,
        "trials": one.trials, "request": json.loads(one.request) if one.request else None, "stored_at": one.stored_at,
        **{name: value for name, value in one.record.items() if name not in ("strategy", "problem")},
    }  # fmt: skip


def print_search(one: KeptSearch) -> None:
    """One of them, as `optimize` says it."""
    if not one.finished:
        typer.echo(
            f"A search of {one.strategy} that was ended, of which {one.trials} trials are kept. The same command goes "
            "on."
        )
        return
    typer.echo(f"Search {one.short} of {one.strategy}, {one.stored_at:%Y-%m-%d}. Asked for: {one.request}")
    if one.record.get("picture"):
        typer.echo(f"Its map: {one.record['picture']}")
    print_record(one.record, len(one.record["best"]), mapped=True)


def check_picture(png: Path | None) -> None:
    """Raises `InputError` for a file that is no picture."""
    if png is not None and png.suffix.lower() != ".png":
        raise InputError(f"'{png}' is no picture.", remedy="Name a file that ends with .png.", where="--png")


def draw_search(one: KeptSearch, png: Path) -> None:
    """Write its map of two parameters to a file.

    Raises:
        InputError: it has none, or the file cannot be written.
    """
    import pandas as pd

    from scizor_dagster.analytics.plots import heat_plot
    from scizor_dagster.tabular.whole_files import write_whole

    drawn = one.record.get("map")
    if drawn is None:
        raise InputError(
            "There is no map of fewer than two parameters that vary.", remedy="Leave out --png.", where="--png"
        )
    frame = pd.DataFrame(drawn["values"], index=drawn["rows"], columns=drawn["columns"], dtype=float)
    frame = frame.rename_axis(index=drawn["down"], columns=drawn["across"])
    content = heat_plot(frame, one.record["objective"])
    write_whole([(png.name, content)], png.parent, what="The map", remedy="Name a file that can be written with --png.")


def named(desk: Desk, name: str) -> Head | KeptSearch:
    """The backtest of this id or name, else the search.

    Raises:
        InputError: there is neither, or several of both have ids that begin so.
    """
    from scizor_dagster.backtest.search.kept import list_searches, search_named
    from scizor_dagster.backtest.storage import backtest_named, list_backtests

    every = [head.backtest_id for head in list_backtests(desk.lake)]
    every += [one.search_id for one in list_searches(desk.lake)]
    alike = [one for one in every if one.startswith(name.lower())]
    if len(alike) > 1:
        raise InputError(
            f"{len(alike)} backtests and searches begin with '{name}': {', '.join(one[:20] for one in alike[:4])}.",
            remedy="Write more of the id.",
        )
    try:
        return backtest_named(desk.lake, name)
    except InputError:
        found = search_named(desk.lake, name)
        if found is None:
            raise
        return found


def require_none(given: dict[str, object], why: str) -> None:
    """Raises `InputError` for the first option that is given, and does not belong here."""
    for option in [name for name, value in given.items() if value is not None]:
        raise InputError(f"{option} {why}.", remedy="Leave it out.", where=option)


def show_search(found: KeptSearch, png: Path | None, *, as_json: bool) -> None:
    """What is kept of a search, and its map as a picture where a file is named."""
    if png is not None:
        check_picture(png)
        draw_search(found, png)
    if as_json:
        emit_json(search_json(found))
        return
    print_search(found)
    if png is not None:
        typer.echo(f"Wrote {png}.")


def delete_told(desk: Desk, found: KeptSearch, *, yes: bool, as_json: bool) -> None:
    """Delete a search, and say what went with it."""
    from scizor_dagster.backtest.search.kept import delete_search

    if not yes:
        confirm(f"Delete search {found.short} of {found.strategy} with its trials?", "Say --yes.", as_json=as_json)
    gone = delete_search(desk.lake, found)
    if as_json:
        emit_json({"deleted": found.search_id, "trials": gone})
    else:
        typer.echo(f"Deleted search {found.short} and {gone} trials.")
