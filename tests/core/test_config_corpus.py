"""Every way in which a configuration can mean something else than it says: refused by file, line, key and remedy.

Each row of `CASES` changes the shipped configuration in one place, by the number that the fault has in the
catalogue of bad inputs. Not here, with the reason:

- 97, one strategy in two portfolios: allowed, because each portfolio has a capital of its own and together they
  begin with no more than the account holds; what is refused is the same id twice in the manifest.
- 98, a time zone, or a cron that fires twice when clocks change: neither can be configured. Both follow from the
  calendar, whose name is checked; the last test holds the hours of every schedule clear of the change of clocks.
- 100 and 101 for live accounts: `broker` knows `paper` alone; tests/execution/test_gates.py has the gates.
"""

import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.times import ticks_of
from scizor_dagster.config import load_config
from scizor_dagster.errors import ConfigError
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.settings import Settings
from scizor_dagster.signals.manifest import load_manifest

QUALITY = "    currency: USD\n    quality: {"
LIMITS = ("max_notional_per_order: 25000.0", "max_share_per_order: 100000.0", "max_total_notional: 1000000.0")
NO_LIMIT = "a limit is a finite number greater than 0, or the word unlimited"


@dataclass(frozen=True)
class Case:
    """`found` in the shipped file is replaced by `written`; the refusal says all of `words`."""

    number: int
    found: str
    written: str
    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


CASES = (
    Case(93, "enabled: true", "enabled: yes", ("enabled", "'yes'")),
    Case(93, "enabled: true", "enabled: on", ("enabled", "'on'")),
    Case(93, "enabled: true", "enabled: 1", ("enabled", "found 1")),
    Case(93, "allow_short: false", "allow_short: no", ("allow_short", "'no'")),
    Case(93, "quantity_precision: 4", "quantity_precision: 04", ("quantity_precision", "'04'")),
    Case(93, "quantity_precision: 4", "quantity_precision: 0o4", ("quantity_precision", "'0o4'")),
    Case(93, "quantity_precision: 4", "quantity_precision: 4.0", ("quantity_precision", "4.0")),
    Case(93, "quantity_precision: 4", "quantity_precision: 1:30", ("quantity_precision", "'1:30'")),
    Case(93, "initial_cash: 100000.0", "initial_cash: 100_000", ("initial_cash", "'100_000'")),
    Case(93, "initial_cash: 100000.0", "initial_cash: 1e400", ("initial_cash", "inf")),
    Case(93, "initial_cash: 100000.0", "initial_cash: 0100000.0", ("initial_cash", "'0100000.0'")),
    Case(93, "first_session: 2021-01-04", "first_session: 2021-1-4", ("first_session", "YYYY-MM-DD")),
    Case(93, "calendar: XNYS", "calendar: no", ("calendar", "'no' is not a calendar")),
    Case(93, "strategy: demo_momentum", "strategy: 012", ("strategy",)),
    *(Case(94, limit, f"{limit}\n  x{limit}", (f"x{limit.split(':')[0]}", "not a known key")) for limit in LIMITS),
    Case(94, "weights:", "weight:", ("weight", "not a known key")),
    Case(94, "    currency: USD", f"{QUALITY}max_price_jmp: 2}}", ("max_price_jmp", "not a known key")),
    Case(94, "type: sample", "type: sample\n      path: x", ("path", "not a known key")),
    Case(94, "initial_cash: 100000.0", "initial_cash: 100000.0\n    environment: live", ("environment", "not a known")),
    *(
        Case(95, limit, f"{limit.split(':')[0]}: {value}", (limit.split(":")[0], NO_LIMIT))
        for limit in LIMITS
        for value in ("", "null", ".nan", "nan", ".inf", "1e400", "0", "-1", "none", "Unlimited", "true")
    ),
    *(Case(95, limit, "", (f"risk.{limit.split(':')[0]}: the key is missing", "never left open")) for limit in LIMITS),
    Case(95, "    currency: USD", f"{QUALITY}max_price_jump: 1.0}}", ("max_price_jump", "a factor above 1")),
    Case(95, "    currency: USD", f"{QUALITY}max_unpriced_equity: 0}}", ("max_unpriced_equity", "found 0")),
    Case(95, "    currency: USD", f"{QUALITY}max_unchanged_sessions: .nan}}", ("max_unchanged_sessions", "nan")),
    Case(96, "type: sample", "type: ${P}", ("environment variable P is unset or empty", "Set P"), {"P": ""}),
    Case(96, "type: sample", "type: ${P}", ("environment variable P is unset or empty", "Set P"), {"P": "  "}),
    Case(96, "type: sample", "type: ${P}", ("environment variable P is unset or empty", "Set P")),
    Case(96, "initial_cash: 100000.0", "initial_cash: ${P}", ("initial_cash", "'5'"), {"P": "5"}),
    Case(97, "share: 1.0", "share: 1.01", ("share", "1.01")),
    Case(97, "share: 1.0", "amount: 100000.01", ("initial_cash", "100,000.01", "100,000.00")),
    Case(98, "calendar: XNYS", "calendar: America/New_York", ("calendar", "'America/New_York' is not a calendar")),
    Case(98, "calendar: XNYS", "calendar: XNYS\n    timezone: Mars/Olympus", ("timezone", "not a known key")),
    Case(99, "calendar: XNYS", "calendar: XNYS\n    calendar: XASX", ("markets.us.calendar", "stands twice")),
    Case(99, "weights:", "risk: {}\nweights:", ("risk", "stands twice")),
    Case(100, "    account: paper", "    account: ''", ("account", "portfolio")),
    Case(101, "broker: paper ", "broker: live ", ("broker", "'live'")),
)


@pytest.fixture(scope="module")
def shipped(project_root: Path) -> str:
    return (project_root / "config" / "config.yaml").read_text(encoding="utf-8")


def _refusal(folder: Path, text: str, environment: dict[str, str]) -> ConfigError | None:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load_config(path, {"SCIZOR_HOME": "/nowhere"} | environment)
    except ConfigError as error:
        return error
    return None


def test_every_ambiguous_configuration_is_refused_by_file_line_key_and_remedy(tmp_path, shipped, capsys) -> None:
    counts: Counter[int] = Counter()
    silent = []
    for case in CASES:
        assert case.found in shipped, case
        refusal = _refusal(tmp_path, shipped.replace(case.found, case.written, 1), case.environment)
        if refusal is None:
            silent.append(case)
            continue
        assert (refusal.exit_code, bool(refusal.remedy)) == (2, True)
        said = str(refusal)
        counts[case.number] += 1
        assert f"{tmp_path / 'config.yaml'}:" in said, said
        assert all(word in said for word in case.words), (case, said)
    with capsys.disabled():
        shown = ", ".join(f"{number}: {count}" for number, count in sorted(counts.items()))
        sys.stdout.write(f"\nconfiguration: {len(CASES)} refused ({shown}); silent {len(silent)}\n")
    assert silent == []


@pytest.mark.parametrize("name", ["SCIZOR_HOME", "SCIZOR_CONFIG", "DATABASE_URL"])
@pytest.mark.parametrize("value", ["", "  "])
def test_96_a_variable_that_chooses_a_place_is_never_an_empty_text(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is set to an empty text") as caught:
        Settings.from_environment({name: value})
    assert "unset it to use its default" in caught.value.remedy


def test_97_a_strategy_that_stands_twice_in_the_manifest_is_refused_by_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "strategy_manifest.yaml"
    entry = "  - {id: one, path: a.csv, format: csv}\n"
    path.write_text(f"strategies:\n{entry}{entry}", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"'one' stands twice \\(first at {path}:2") as caught:
        load_manifest(path, {})
    assert caught.value.where.startswith(f"{path}:3")


@pytest.mark.parametrize("code", ["XNYS", "XASX", "XLON", "XTSE"])
def test_98_no_schedule_falls_into_the_hour_that_a_change_of_clocks_skips_or_repeats(code: str) -> None:
    calendar = TradingCalendar(code)
    ticks = ticks_of(calendar)
    fires = [tuple(map(int, cron.split()[:2])) for cron in (ticks.before_open, ticks.after_close)]
    for offset in range(3 * 365):
        day = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=offset)
        for minute, hour in fires:
            local = day.replace(hour=hour, minute=minute, tzinfo=calendar.timezone)
            assert local.utcoffset() == local.replace(fold=1).utcoffset()
            assert local.astimezone(UTC).astimezone(calendar.timezone) == local
