"""The shipped rules and the dashboard: of figures that there are, and ringing when they should and not before."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.making.handbook import family
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.monitoring.catalogue import METRICS, PARTS
from tests.monitoring.promql import Vector, evaluated, labels, names_in

ROOT = Path(__file__).resolve().parents[2]
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
BOARD = json.loads((ROOT / "deploy/grafana/scizor.json").read_text(encoding="utf-8"))
NOW = 1_000_000.0
HOUR = 3600.0
MAIN = labels(account="paper", portfolio="main")
OTHER = labels(account="paper", portfolio="other")
US = labels(market="us")


def one(value: float, **names: str) -> Vector:
    return {labels(**names): value}


Case = tuple[dict[str, Vector], dict[str, Vector]]


def owners(main: float, other: float) -> Vector:
    return {MAIN: main, OTHER: other}


TRADED = "scizor_last_traded_close_timestamp_seconds"
DUE = "scizor_last_traded_due_timestamp_seconds"
RECONCILED = "scizor_reconciled_timestamp_seconds"
MEASURED = "scizor_performance_close_timestamp_seconds"
UNTIL = "scizor_armed_until_timestamp_seconds"
BEAT = "scizor_dagster_heartbeat_timestamp_seconds"
CLOSE = NOW - 4 * HOUR
CASES: dict[str, Case] = {
    "ScizorNotServed": ({"up": one(0, job="scizor")}, {"up": {**one(1, job="scizor"), **one(0, job="another")}}),
    "ScizorPartDown": ({"scizor_up": one(0, part="prices")}, {"scizor_up": one(1, part="prices")}),
    "ScizorFiguresOld": (
        {"scizor_measured_timestamp_seconds": one(NOW - 301, part="prices")},
        {"scizor_measured_timestamp_seconds": one(NOW - 300, part="prices")},
    ),
    "ScizorPricesStale": (
        {"scizor_prices_sessions_behind": {US: 2}, "scizor_prices_max_age_sessions": {US: 1}},
        {"scizor_prices_sessions_behind": {US: 1}, "scizor_prices_max_age_sessions": {US: 1}},
    ),
    "ScizorPricesBehind": ({"scizor_prices_sessions_behind": {US: 1}}, {"scizor_prices_sessions_behind": {US: 0}}),
    "ScizorSymbolsWithGaps": (
        {"scizor_symbols_with_gaps": {US: 6}, "scizor_symbols_tracked": {US: 100}},
        {"scizor_symbols_with_gaps": {US: 5}, "scizor_symbols_tracked": {US: 100}},
    ),
    "ScizorOrderUnknown": ({"scizor_orders_unknown": owners(1, 0)}, {"scizor_orders_unknown": owners(0, 0)}),
    "ScizorOrdersOpenAfterClose": (
        {"scizor_orders_open": owners(1, 0), DUE: owners(NOW - 1, NOW - 1)},
        {"scizor_orders_open": owners(1, 0), DUE: owners(NOW, NOW - 1)},
    ),
    "ScizorNotReconciled": (
        {RECONCILED: owners(CLOSE - 1, CLOSE + 1), TRADED: owners(CLOSE, CLOSE), DUE: owners(NOW - 1, NOW - 1)},
        {RECONCILED: owners(CLOSE - 1, CLOSE + 1), TRADED: owners(CLOSE, CLOSE), DUE: owners(NOW, NOW - 1)},
    ),
    "ScizorBreaksOpen": (
        {"scizor_breaks_open": one(1, account="paper", locks="order")},
        {"scizor_breaks_open": one(0, account="paper", locks="order")},
    ),
    "ScizorLocked": ({"scizor_locks": owners(1, 0)}, {"scizor_locks": owners(0, 0)}),
    "ScizorHalted": (
        {"scizor_trading_state": one(1, account="paper", portfolio="main", state="halted")},
        {
            "scizor_trading_state": {
                **one(0, account="paper", portfolio="main", state="halted"),
                **one(1, account="paper", portfolio="main", state="active"),
            }
        },
    ),
    "ScizorRunDiedOverAccount": (
        {"scizor_account_abandoned": one(1, account="paper")},
        {"scizor_account_abandoned": one(0, account="paper")},
    ),
    "ScizorLiveNotArmed": (
        {"scizor_live": owners(1, 0), UNTIL: {MAIN: 0.0}},
        {"scizor_live": owners(1, 0), UNTIL: {MAIN: NOW + 1}},
    ),
    "ScizorArmingEnds": ({UNTIL: {MAIN: NOW + HOUR}}, {UNTIL: {MAIN: NOW + 25 * HOUR, OTHER: 0.0}}),
    "ScizorDrawdown": ({"scizor_drawdown": owners(0.21, 0)}, {"scizor_drawdown": owners(0.2, 0)}),
    "ScizorNotMeasured": (
        {MEASURED: owners(NOW - 30 * HOUR, NOW), TRADED: owners(NOW - 7 * HOUR, NOW - 7 * HOUR)},
        {MEASURED: owners(NOW - 30 * HOUR, NOW), TRADED: owners(NOW - 6 * HOUR, NOW - 7 * HOUR)},
    ),
    "ScizorNoticesGivenUp": (
        {"scizor_notices": one(1, state="given_up")},
        {"scizor_notices": {**one(1, state="failed"), **one(1, state="missed"), **one(0, state="given_up")}},
    ),
    "ScizorDaemonSilent": (
        {BEAT: one(NOW - 301, daemon="sensor"), "scizor_dagster_switched_on": one(3)},
        {BEAT: one(NOW - 301, daemon="sensor"), "scizor_dagster_switched_on": one(0)},
    ),
    "ScizorRunsFailed": (
        {"scizor_runs_ended_24h": one(1, status="failure")},
        {"scizor_runs_ended_24h": {**one(0, status="failure"), **one(9, status="success")}},
    ),
    "ScizorTicksFailed": ({"scizor_ticks_failed_24h": one(1)}, {"scizor_ticks_failed_24h": one(0)}),
    "ScizorRunsWait": ({"scizor_runs": one(1, status="queued")}, {"scizor_runs": one(1, status="started")}),
    "ScizorDiskFull": (
        {"scizor_disk_free_bytes": one(2 * 1024**3 - 1)},
        {"scizor_disk_free_bytes": one(2 * 1024**3)},
    ),
    "ScizorNoBackup": (
        {"scizor_backup_timestamp_seconds": one(0)},
        {"scizor_backup_timestamp_seconds": one(NOW - 36 * HOUR)},
    ),
    "ScizorRequestsSpent": (
        {"scizor_requests_left": one(0, api="a", side="trading")},
        {"scizor_requests_left": one(1, api="a", side="trading")},
    ),
}
each = pytest.mark.parametrize("name", RULES)


def test_every_rule_is_tried_here_and_explained_in_the_handbook() -> None:
    assert list(CASES) == list(RULES) == list(family("metric-alerts").entries)


@each
def test_a_rule_rings_for_what_is_wrong_and_for_nothing_else(name: str) -> None:
    wrong, right = CASES[name]
    rings = evaluated(RULES[name]["expr"], wrong, NOW)
    assert len(rings) == 1, rings
    assert evaluated(RULES[name]["expr"], right, NOW) == {}
    assert evaluated(RULES[name]["expr"], {}, NOW) == {}


@each
def test_a_rule_says_how_grave_it_is_for_how_long_it_waits_and_where_it_is_explained(name: str) -> None:
    rule = RULES[name]
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[0-9]+[mh]", rule["for"])
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["runbook_url"].endswith(f"/handbook/metric-alerts/#{name}")
    named = set(re.findall(r"\$labels\.([a-z]+)", rule["annotations"]["summary"]))
    wrong = evaluated(rule["expr"], CASES[name][0], NOW)
    assert named - {"instance"} <= {label for key in wrong for label, _ in key}


@each
def test_a_rule_is_made_of_figures_that_there_are_with_labels_that_they_have(name: str) -> None:
    used = names_in(RULES[name]["expr"])
    assert used <= set(METRICS)
    assert used or name == "ScizorNotServed"
    for metric, rows in CASES[name][0].items():
        for key in rows:
            assert metric == "up" or {label for label, _ in key} == set(METRICS[metric].labels), metric


def test_a_store_that_cannot_be_read_rings_whichever_it_is() -> None:
    down = {"scizor_up": {labels(part=part): 0.0 for part in PARTS}}
    assert len(evaluated(RULES["ScizorPartDown"]["expr"], down, NOW)) == len(PARTS)


@pytest.mark.parametrize("name", ["ScizorNotReconciled", "ScizorOrdersOpenAfterClose"])
def test_a_session_that_closed_early_rings_no_sooner_than_any_other(name: str) -> None:
    # New York closes at 18:00 UTC on the day after Thanksgiving; orders are followed at 23:00, as on every day.
    close, due = datetime(2026, 11, 27, 18, tzinfo=UTC), datetime(2026, 11, 28, 0, tzinfo=UTC)
    samples = {"scizor_orders_open": {MAIN: 1.0}, RECONCILED: {MAIN: 0.0}, TRADED: {MAIN: close.timestamp()}}
    samples[DUE] = {MAIN: due.timestamp()}
    assert evaluated(RULES[name]["expr"], samples, (due - timedelta(minutes=1)).timestamp()) == {}
    assert len(evaluated(RULES[name]["expr"], samples, (due + timedelta(minutes=1)).timestamp())) == 1


def expressions(board: dict[str, Any]) -> list[str]:
    variables = [item["query"]["query"] for item in board["templating"]["list"] if item["type"] == "query"]
    panels = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    return [*variables, *panels]


def test_the_dashboard_shows_every_figure_that_changes_and_none_that_there_is_not() -> None:
    used = set().union(*map(names_in, expressions(BOARD)))
    assert used <= set(METRICS)
    told_elsewhere = {
        "scizor_build_info", "scizor_measured_timestamp_seconds", "scizor_prices_max_age_sessions",
        "scizor_last_traded_close_timestamp_seconds", "scizor_last_traded_due_timestamp_seconds",
        "scizor_account_abandoned",
        "scizor_dagster_switched_on", "scizor_performance_close_timestamp_seconds",
    }  # fmt: skip
    assert set(METRICS) - used == told_elsewhere


def test_the_tile_of_parts_shows_a_number_only_while_there_are_figures_and_is_red_without_any() -> None:
    (tile,) = (panel for panel in BOARD["panels"] if panel["title"] == "Parts that cannot be read")
    (target,) = tile["targets"]
    parts = [labels(part=part) for part in PARTS]
    for down in range(len(parts) + 1):
        samples = {"scizor_up": {part: float(number >= down) for number, part in enumerate(parts)}}
        assert evaluated(target["expr"], samples, NOW) == {labels(): float(down)}
    assert evaluated(target["expr"], {}, NOW) == {}
    shown = tile["fieldConfig"]["defaults"]
    (nothing,) = (mapping["options"] for mapping in shown["mappings"] if mapping["type"] == "special")
    assert nothing["match"] == "null+nan"
    assert nothing["result"] == {"text": shown["noValue"], "color": "red", "index": 0}


def test_the_dashboard_names_labels_that_its_figures_have() -> None:
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            known = set().union(*({*METRICS[name].labels} for name in names_in(target["expr"])))
            used = set(re.findall(r"\{\{([a-z]+)\}\}", target["legendFormat"]))
            used |= set(re.findall(r"([a-z]+)=~?\"", target["expr"]))
            assert used <= known, panel["title"]


def test_panels_lie_side_by_side_and_have_ids_of_their_own() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells


def test_prometheus_asks_at_the_address_with_a_key_that_opens_nothing_else() -> None:
    text = (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    settings = yaml.safe_load(text)
    (job,) = settings["scrape_configs"]
    assert settings["rule_files"] == ["alerts.yml"]
    assert (job["job_name"], job["metrics_path"]) == ("scizor", "/metrics")
    assert job["authorization"]["type"] == "Bearer"
    assert "credentials" not in job["authorization"]
    assert "--scope metrics" in text
    assert Scope("metrics") is Scope.METRICS


@pytest.mark.parametrize("text", ["rate(scizor_up[5m]) > 0", "scizor_up =~ 1", "scizor_up > 0 sum", "1 > 0"])
def test_what_the_reader_of_rules_does_not_know_is_refused_and_not_passed_over(text: str) -> None:
    with pytest.raises((ValueError, AssertionError)):
        evaluated(text, {"scizor_up": one(1, part="prices")}, NOW)
