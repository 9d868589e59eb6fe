"""Cases 1 to 56: what the rows of a file may say wrongly."""

from scizor_dagster.config import WeightRules
from tests.signals.builders import HEADER
from tests.signals.corpus.case import DAY, Case, Response, file, text, weights

R: Response = "refused"
W: Response = "warned"
OK: Response = "accepted"
NEXT = "2024-01-03"
DAILY = (*range(2, 6), *range(8, 13), *range(16, 20), *range(22, 25), 26, *range(29, 32))
MINE = {"require": {"account": "U1"}}
A, B = f"{DAY},A,0.5", f"{DAY},B,0.5"


def _date(value: str) -> Case:
    return Case(0, f"date {value}", text(f"{value},A,1"), R, "bad_date")


def _renumbered(number: int, *cases: Case) -> list[Case]:
    return [Case(number, case.name, case.build, case.response, case.rule) for case in cases]


CASES: list[Case] = [
    Case(1, "blank", weights("0.5", ""), R, "missing_weight"),
    Case(1, "NaN", weights("0.5", "NaN"), R, "missing_weight"),
    Case(2, "inf", weights("inf", "0.5"), R, "infinite_weight"),
    Case(2, "minus inf", weights("-inf", "0.5"), R, "infinite_weight"),
    Case(3, "asset twice", text(A, f"{DAY},A,0.4"), R, "duplicate_asset"),
    Case(4, "row twice", text(A, A), R, "duplicate_asset"),
    Case(5, "sum above maximum", weights("0.6", "0.6"), R, "sum_above_maximum"),
    Case(6, "sum below one", weights("0.5", "0.3"), R, "sum_below_one", {"unallocated": "refuse"}),
    Case(6, "sum below one, nothing said", weights("0.5", "0.3"), W, "rest_in_cash"),
    Case(6, "sum below one, cash stated", weights("0.5", "0.3"), OK, entry={"unallocated": "cash"}),
    Case(6, "cash row", text(A, f"{DAY},B,0.4", f"{DAY},CASH,0.1"), R, "cash_row"),
    Case(6, "cash row of a currency", text(A, f"{DAY},USD cash,0.5"), R, "cash_row", {"unallocated": "cash"}),
    Case(6, "cash row declared", text(A, f"{DAY},B,0.4", f"{DAY},Cash,0.1"), OK, entry={"cash_column": "CASH"}),
    Case(6, "cash row declared that disagrees", text(A, f"{DAY},CASH,0.1"), R, "cash_disagrees",
         {"cash_column": "CASH"}),
    Case(6, "cash row twice", text(A, f"{DAY},CASH,0.5", f"{DAY},CASH,0.5"), R, "duplicate_asset",
         {"cash_column": "CASH"}),
    Case(7, "sum slightly over", weights("0.5", "0.5000001"), W, "sum_within_tolerance"),
    Case(8, "short", weights("0.5", "-0.2"), R, "negative_weight"),
    Case(9, "above the cap", weights("0.6", "0.4"), R, "weight_above_maximum", weights=WeightRules(max_weight=0.5)),
    Case(10, "50 for 50 %", weights("50", "50"), R, "percentages"),
    Case(10, "a half among percentages", weights("60", "39.5", "0.5"), R, "percentages"),
    Case(10, "fractions where percent is declared", weights("0.5", "0.5"), R, "fractions", {"percent": True}),
    Case(10, "a part in percent", weights("20", "10"), W, "rest_in_cash", {"percent": True}),
    Case(11, "percent sign", weights("50%", "50%"), R, "not_a_number"),
    Case(11, "percent declared", weights("50%", "50"), OK, entry={"percent": True}),
    Case(12, "decimal comma", weights('"0,5"', '"0,5"'), R, "not_a_number"),
    Case(12, "decimal comma declared", weights('"0,5"', '"0,5"'), OK, entry={"decimal": ","}),
    Case(12, "point where a comma is declared", weights("0.5", "0.5"), R, "not_a_number", {"decimal": ","}),
    Case(13, "thousands", weights('"1,000"'), R, "not_a_number"),
    Case(14, "unicode minus", weights("\u22120.5"), R, "not_a_number"),
    Case(14, "parentheses", weights("(0.5)"), R, "not_a_number"),
    Case(15, "dust", weights("1e-18", "1"), W, "dust_weight"),
    Case(16, "no date column", text("A,1", header="asset_id,target_weight"), R, "missing_column"),
    Case(16, "blank date", text(",A,1"), R, "blank_date"),
    Case(17, "weekend", text("2024-01-06,A,1"), W, "date_moved"),
    Case(17, "holiday", text("2024-12-25,A,1"), W, "date_moved"),
    *_renumbered(18, _date("03/04/2026"), _date("13/04/2026")),
    *_renumbered(19, _date("20/11/26")),
    *_renumbered(20, _date("46346")),
    *_renumbered(22, _date("2026-02-30")),
    Case(23, "year 2062", text("2062-01-03,A,1"), R, "date_outside_calendar"),
    Case(23, "far past", text("1962-01-03,A,1"), R, "date_outside_calendar"),
    *_renumbered(24, _date("2024-01-02T00:00:00-05:00"), _date("2024-01-02 16:00:00")),
    Case(24, "midnight of UTC", text(f"{DAY}T00:00:00Z,A,.5", f"{DAY} 00:00:00+00:00,B,.5"), OK),
    Case(27, "out of order", text(f"{NEXT},A,1", f"{DAY},A,1"), R, "dates_out_of_order"),
    Case(27, "sorted by asset, then by date", text(f"{DAY},A,.5", f"{NEXT},A,.5", f"{DAY},B,.5", f"{NEXT},B,.5"), OK),
    Case(27, "mixed runs", text(f"{DAY},A,1", f"{NEXT},A,1", f"{DAY},B,0"), R, "dates_out_of_order"),
    Case(27, "gap", text(f"{DAY},A,1", "2024-01-04,A,1"), R, "missing_session", {"every_session": True}),
    Case(27, "gap in a daily file", text(*(f"2024-01-{day:02},A,1" for day in DAILY)), W, "missing_session"),
    Case(29, "cut after a comma", file(f"{HEADER}\n{A}\n{DAY},B,"), R, "missing_weight"),
    Case(29, "cut in a number", file(f"{HEADER}\n{A}\n{DAY},B,0."), R, "cut_off"),
    Case(29, "cut between digits", file(f"{HEADER}\n{A}\n{DAY},B,0.4"), R, "cut_off"),
    Case(29, "cut between digits, the rest cash", file(f"{HEADER}\n{A}\n{DAY},B,0.2"), R, "cut_off",
         {"unallocated": "cash"}),
    Case(29, "cut in an id", file(f"{HEADER}\n{A}\n{DAY},MS"), R, "field_count"),
    Case(29, "whole, no line end", file(f"{HEADER}\n{A}\n{B}"), W, "no_final_newline"),
    Case(30, "extra field", text(A, f"{DAY},B,0.5,x"), R, "field_count"),
    Case(30, "extra field without anything", text(f"{A},", f"{B},,"), W, "blank_fields"),
    Case(30, "header with fields that have no name", text(A, B, header=HEADER + ",,"), W, "blank_fields"),
    Case(30, "lines of blanks and commas", text(A, "  ", ",,", B), OK),
    Case(31, "total row", text(A, B, f"{DAY},TOTAL,1.0"), R, "total_row"),
    Case(31, "sum row", text(f"{DAY},A,0.5", f"{DAY},Sum,0.5"), R, "total_row"),
    Case(31, "sum in lower case", text(A, f"{DAY},B,0.2", f"{DAY},sum,0.3"), R, "total_row"),
    Case(31, "total weight", text(A, f"{DAY},Total Weight,0.5"), R, "total_row"),
    Case(31, "SUM is a ticker", text(f"{DAY},A,0.7", f"{DAY},SUM,0.3"), OK),
    Case(32, "unclosed quote", text(A, f'{DAY},"B,0.5'), R, "csv_syntax"),
    Case(33, "empty", file(b""), R, "empty_file"),
    Case(34, "header only", text(), R, "no_rows"),
    Case(35, "no header", file(f"{A}\n{B}\n"), R, "missing_column"),
    Case(36, "typo", text(A, header="trade_date,asset_id,wieght"), R, "missing_column"),
    Case(37, "duplicate header", text(f"{A},0.1", header=HEADER + ",target_weight"), R, "duplicate_column"),
    Case(35, "no header, tickers as words", text(f"{DAY},A,1", header="DATE,TICKER,WEIGHT"), R, "missing_column"),
    Case(37, "duplicate header in another spelling", text(f"{A},0.1", header=HEADER + ",Target Weight"), R,
         "duplicate_column"),
    Case(38, "header in words", text(f"{DAY},A,1", header="Trade Date,Asset ID,Target Weight"), W, "header_spelling"),
    Case(38, "header case", text(f"{DAY},A,1", header="Trade_Date , ASSET_ID,target_weight"), W, "header_spelling"),
    Case(39, "extra column", text(f"{DAY},A,1,x", header=HEADER + ",note"), W, "extra_column"),
    Case(40, "bom", file(f"\ufeff{HEADER}\n{DAY},A,1\n"), OK),
    Case(41, "utf-16", file(f"{HEADER}\n{A}\n".encode("utf-16")), R, "wrong_format"),
    Case(41, "utf-16 without a mark", file(f"{HEADER}\n{A}\n".encode("utf-16-le")), R, "encoding"),
    Case(42, "latin-1", file(f"{HEADER}\n{DAY},\xc9,1\n".encode("latin-1")), R, "encoding"),
    Case(43, "nul", text(f"{DAY},A\0B,1"), R, "encoding"),
    Case(44, "trailing blank", text(f"{DAY},A ,1"), W, "trimmed"),
    Case(44, "no-break space", text(f"{DAY},A\u00a0,1"), W, "trimmed"),
    Case(45, "cyrillic", text(f"{DAY},\u0405PY,1"), R, "bad_asset_id"),
    Case(46, "case twins", text(f"{DAY},spy,0.5", f"{DAY},SPY,0.5"), R, "case_twins"),
    Case(46, "two spellings of a share class", text(f"{DAY},BRK.B,0.5", f"{DAY},BRK-B,0.5"), R,
         "two_ids_one_instrument"),
    Case(46, "two spellings on two dates", text(f"{DAY},BRK.B,1", f"{NEXT},BRK-B,1"), OK),
    *(Case(number, f"ticker {name}", text(f"{DAY},{name},1"), OK)
      for number, name in ((47, "NA"), (48, "TRUE"), (49, "1E5"), (50, "0700"))),
    Case(56, "other strategy", text(f"{A},other", header=HEADER + ",strategy"), R, "wrong_owner"),
    Case(56, "other account", text(f"{A},U2", header=HEADER + ",account"), R, "wrong_owner", MINE),
    Case(56, "an account, and none is required", text(f"{A},U2", header=HEADER + ",account"), R, "wrong_owner"),
    Case(56, "another portfolio", text(f"{A},growth", header=HEADER + ",Portfolio"), R, "wrong_owner"),
    Case(56, "the account that is required", text(f"{DAY},A,1,U1", header=HEADER + ",account"), OK, entry=MINE),
    Case(56, "two accounts", text(f"{A},U1", f"{B},U2", header=HEADER + ",account"), R, "several_accounts"),
    Case(56, "the right strategy", text(f"{DAY},A,1,test", header=HEADER + ",strategy"), OK),
]  # fmt: skip
