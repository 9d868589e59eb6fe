"""Cases 25, 26, 28, 53 and 71: files in order, judged against what was before; and some that only look like them."""

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

from scizor_dagster.signals.guards import Approved, Background, EarlierWeights, TickerChange
from tests.signals.builders import check
from tests.signals.corpus.case import DAY, Case, Response, text

R: Response = "refused"
H: Response = "held"
W: Response = "warned"
OK: Response = "accepted"
NEXT = date(2024, 1, 3)
LATER = date(2024, 2, 1)
CASH = {"unallocated": "cash"}
DEFAULT = CASH | {"guards": {}}
HALVES = (f"{DAY},A,0.5", f"{DAY},B,0.5")
OTHERS = (f"{NEXT},C,0.5", f"{NEXT},D,0.5")
BEFORE = EarlierWeights(date(2023, 12, 1), {"C": 0.5, "D": 0.5}, taken=True)
WEEK = tuple(f"2024-01-{day:02},{name},0.5" for day in (2, 3) for name in "AB")


def after(weights: EarlierWeights) -> Callable[[Path], Background]:
    return lambda _: Background(earlier=weights)


def taken_before(path: Path) -> Background:
    return Background(taken={hashlib.sha256(path.read_bytes()).hexdigest(): DAY})


def approved(
    *rules: str, session: date = DAY, content: bytes = b"", meant: str | None = None
) -> Callable[[Path], Background]:
    """Approved by a person to whom the rows meant `meant`, by default what they mean."""

    def known(path: Path) -> Background:
        key = (hashlib.sha256(path.read_bytes() + content).hexdigest(), session)
        rows = meant or check(path, guards={}).rows_hash
        return Background(earlier=BEFORE, approvals={key: [Approved(frozenset(rules), rows, "approved by ann: meant")]})

    return known


def renamed(day: date, new: str | None = "META") -> Callable[[Path], Background]:
    return lambda _: Background(ticker_changes=[TickerChange("FB", day, new)])


def files(*contents: tuple[str, ...]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        for number, rows in enumerate(contents):
            text(*rows)(folder).rename(folder / f"weights_{number}.csv")
        return folder / "weights_*.csv"

    return build


def guards(**keys: object) -> dict[str, object]:
    return CASH | {"guards": keys}


CASES: list[Case] = [
    Case(25, "older than allowed", text(*HALVES), R, "stale", DEFAULT, session=LATER),
    Case(25, "not older than allowed, and not the session", text(*HALVES), R, "no_rows_for_session", DEFAULT,
         session=date(2024, 1, 4)),
    Case(26, "yesterday's file again", text(*HALVES), R, "stale", DEFAULT, session=NEXT, known=taken_before),
    Case(26, "a file of several days again", text(*WEEK), OK, entry=DEFAULT, session=NEXT, known=taken_before),
    Case(28, "everything else than before", text(*HALVES), H, "turnover_jump", DEFAULT, session=DAY,
         known=after(BEFORE)),
    Case(28, "everything else than the date before", text(*HALVES, *OTHERS), H, "turnover_jump", DEFAULT),
    Case(28, "out of one name into another", text(f"{DAY},A,0.5", f"{DAY},B,0", f"{NEXT},A,0", f"{NEXT},B,0.96"), H,
         "turnover_jump", guards(one_name="accept")),
    Case(28, "one asset changed more than allowed", text(*HALVES, f"{NEXT},A,0.2", f"{NEXT},B,0.8"), H, "name_jump",
         guards(max_name_change=0.25)),
    Case(28, "all zero", text(f"{DAY},A,0", f"{DAY},B,0"), H, "all_zero", DEFAULT),
    Case(28, "all zero, declared", text(f"{DAY},A,0", f"{DAY},B,0"), OK, entry=guards(all_zero="accept")),
    Case(28, "one name", text(f"{DAY},A,1"), H, "one_name", DEFAULT),
    Case(28, "one name beside zeros", text(f"{DAY},A,0", f"{DAY},B,0.95"), H, "one_name", DEFAULT),
    Case(28, "one name, declared", text(f"{DAY},A,1"), OK, entry=guards(one_name="accept")),
    Case(28, "approved", text(*HALVES), W, "turnover_jump", DEFAULT, session=DAY, known=approved("turnover_jump")),
    Case(28, "another rule approved", text(*HALVES), H, "turnover_jump", DEFAULT, session=DAY,
         known=approved("one_name")),
    Case(28, "another content approved", text(*HALVES), H, "turnover_jump", DEFAULT, session=DAY,
         known=approved("turnover_jump", content=b"x")),
    Case(28, "another session approved", text(*HALVES), H, "turnover_jump", DEFAULT, session=DAY,
         known=approved("turnover_jump", session=NEXT)),
    Case(28, "approved when it meant other rows", text(*HALVES), H, "turnover_jump", DEFAULT, session=DAY,
         known=approved("turnover_jump", meant="0" * 64)),
    Case(28, "refused, whatever is approved", text(*HALVES, f"{DAY},C,NaN"), R, "missing_weight", DEFAULT, session=DAY,
         known=approved("turnover_jump")),
    Case(53, "renamed since", text(f"{DAY},FB,0.5", f"{DAY},B,0.5"), H, "ticker_changed_owner", DEFAULT, session=DAY,
         known=lambda _: Background(earlier=EarlierWeights(date(2023, 12, 1), {"FB": 0.5, "B": 0.5}, taken=True),
                                    ticker_changes=[TickerChange("FB", DAY, "META")])),
    Case(53, "given to another company", text("2024-01-06,FB,0.5", "2024-01-06,B,0.5"), H, "ticker_changed_owner",
         DEFAULT, session=date(2024, 1, 8), known=renamed(date(2024, 1, 8), None)),
    Case(53, "the new ticker before its day", text("2024-01-06,META,0.5", "2024-01-06,B,0.5"), H,
         "ticker_changed_owner", DEFAULT, session=date(2024, 1, 8), known=renamed(date(2024, 1, 8))),
    Case(53, "renamed before the weights", text(f"{DAY},META,0.5", f"{DAY},B,0.5"), OK, entry=DEFAULT, session=DAY,
         known=renamed(date(2023, 12, 1))),
    Case(53, "another asset was renamed", text(f"{DAY},A,0.5", f"{DAY},B,0.5"), OK, entry=DEFAULT, session=DAY,
         known=lambda _: Background(earlier=EarlierWeights(date(2023, 12, 1), {"A": 0.5, "B": 0.5}, taken=True),
                                    ticker_changes=[TickerChange("FB", DAY, "META")])),
    Case(71, "two files for one date", files(HALVES, OTHERS[:1] + HALVES[:1]), R, "two_files_one_date",
         DEFAULT | {"date_order": "any"}),
    Case(71, "a file per date", files(HALVES, (f"{NEXT},A,0.4", f"{NEXT},B,0.6")), OK, entry=DEFAULT),
    # Only look like a jump.
    Case(28, "the first weights", text(*HALVES), OK, entry=DEFAULT, session=DAY),
    Case(28, "everything into cash but a rest", text(*HALVES, f"{NEXT},A,0.05", f"{NEXT},B,0"), OK, entry=DEFAULT),
    Case(28, "all but the limit changes", text(*HALVES, f"{NEXT},A,0.05", f"{NEXT},C,0.95"), OK, entry=DEFAULT),
    Case(28, "a jump inside the file, not at its end", text(*HALVES, *OTHERS, "2024-01-04,C,0.4", "2024-01-04,D,0.6"),
         OK, entry=DEFAULT),
    Case(28, "a jump, unlimited", text(*HALVES, *OTHERS), OK, entry=guards(max_turnover="unlimited")),
    Case(28, "a small bet on one name", text(f"{DAY},A,0.3"), OK, entry=DEFAULT),
    Case(28, "the rows of the store count, not those of the file", text(*HALVES, *OTHERS), OK, entry=DEFAULT,
         session=NEXT, known=after(BEFORE)),
]  # fmt: skip
