"""Cases 66 to 74: scale, delivery, Parquet and JSON; and the wide layout."""

import hashlib
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.signals.builders import HEADER
from tests.signals.corpus.case import DAY, Case, Response, file, text

R: Response = "refused"
W: Response = "warned"
OK: Response = "accepted"
JSON = {"format": "json"}
DAY_TWICE = f'{{"{DAY}": {{"A": 1}}, "{DAY} 00:00:00": {{"B": 1}}}}'
WITH_NULL = f'{{"{DAY}": {{"A": 1, "B": null}}}}'
WIDE = {"layout": "wide"}
WIDE_JSON = JSON | WIDE
PARQUET = {"format": "parquet"}
RECORD = f'{{"trade_date": "{DAY}", "asset_id": "A", "target_weight": 1}}'

INSTANT = pa.array([DAY]).cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
TWICE = f'{RECORD[:-1]}, "asset_id": "B"}}'
NOTHING = pa.array([None], pa.string()).dictionary_encode()


def parquet(**columns: Any) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / "weights.parquet"
        pq.write_table(pa.table({"trade_date": [DAY], "asset_id": ["A"], "target_weight": [1.0]} | columns), path)
        return path

    return build


def json(text_: str) -> Callable[[Path], Path]:
    return file(text_, "weights.json")


def weight(literal: str) -> Callable[[Path], Path]:
    return json(f"[\n{RECORD.replace('1}', literal + '}')}\n]")


def wide(*rows: str, header: str = "date,A,B,Cash") -> Callable[[Path], Path]:
    return text(*rows, header=header)


def many_parquet_rows(folder: Path) -> Path:
    count = 10_000_000
    path = folder / "weights.parquet"
    one = pa.table({"trade_date": [DAY] * 1000, "asset_id": ["A"] * 1000, "target_weight": [0.0] * 1000})
    pq.write_table(pa.concat_tables([one] * (count // 1000)).combine_chunks(), path)
    return path


def many_csv_rows(folder: Path) -> Path:
    path = folder / "weights.csv"
    with path.open("wb") as stream:
        stream.write(HEADER.encode() + b"\n")
        for _ in range(100):
            stream.write(b"2024-01-02,A,0\n" * 100_000)
    return path


def short_rows(folder: Path) -> Path:
    """Three million rows in less than the largest file."""
    path = folder / "weights.csv"
    path.write_bytes(HEADER.encode() + b"\n" + b"2024-01-02,A,0\n" * 3_000_000)
    return path


def many_csv_columns(folder: Path) -> Path:
    path = folder / "weights.csv"
    path.write_text(",".join(f"T{number}" for number in range(100_000)) + "\n")
    return path


def long_field(folder: Path) -> Path:
    path = folder / "weights.csv"
    path.write_bytes(HEADER.encode() + b"\n2024-01-02,A," + b"9" * 50_000_000 + b"\n")
    return path


def with_checksum(right: bool) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = text(f"{DAY},A,1")(folder)
        digest = hashlib.sha256(path.read_bytes() + (b"" if right else b"x")).hexdigest()
        (folder / "weights.csv.sha256").write_text(f"{digest}  weights.csv\n")
        return path

    return build


def link_out(folder: Path) -> Path:
    (folder / "elsewhere").mkdir()
    (folder / "delivery").mkdir()
    target = text(f"{DAY},A,1")(folder / "elsewhere")
    (folder / "delivery" / "weights.csv").symlink_to(target)
    return folder / "delivery" / "weights.csv"


def link_beside(folder: Path) -> Path:
    os.rename(text(f"{DAY},A,1")(folder), folder / "today.csv")
    (folder / "weights.csv").symlink_to("today.csv")
    return folder / "weights.csv"


CASES: list[Case] = [
    Case(66, "ten million rows of csv", many_csv_rows, R, "too_large"),
    Case(66, "three million short rows", short_rows, R, "too_many_rows"),
    Case(66, "ten million rows of parquet", many_parquet_rows, R, "too_many_rows", PARQUET),
    Case(66, "a hundred thousand columns", many_csv_columns, R, "too_many_columns"),
    Case(66, "a field of 50 MB", long_field, R, "csv_syntax"),
    Case(66, "deep json", json("[" * 100_000), R, "too_deep", JSON),
    Case(66, "deep json in a record", json('[{"a":' * 100_000), R, "too_deep", JSON),
    Case(70, "link out of the folder", link_out, R, "link_leads_elsewhere"),
    Case(70, "link within the folder", link_beside, OK),
    Case(72, "checksum differs", with_checksum(False), R, "checksum_differs"),
    Case(72, "checksum agrees", with_checksum(True), OK),
    Case(72, "checksum of the manifest", text(f"{DAY},A,1"), R, "checksum_differs", {"expect": {"sha256": "0" * 64}}),
    Case(72, "row count", text(f"{DAY},A,1"), R, "row_count_differs", {"expect": {"rows": 2}}),
    Case(73, "decimal", parquet(target_weight=[Decimal("1.0")]), OK, entry=PARQUET),
    Case(73, "short decimal", parquet(target_weight=pa.array([1.0]).cast(pa.decimal32(4, 2))), OK, entry=PARQUET),
    Case(73, "view of text", parquet(asset_id=pa.array(["A"], pa.string_view())), OK, entry=PARQUET),
    Case(24, "midnight of UTC in parquet", parquet(trade_date=INSTANT), OK, entry=PARQUET),
    Case(24, "an evening in New York", parquet(trade_date=INSTANT.cast(pa.timestamp("us", "America/New_York"))), R,
         "bad_date", PARQUET),
    Case(73, "text as weight", parquet(target_weight=["1.0"]), R, "parquet_type", PARQUET),
    Case(73, "nested", parquet(target_weight=[[1.0]]), R, "parquet_type", PARQUET),
    Case(73, "binary id", parquet(asset_id=[b"A"]), R, "parquet_type", PARQUET),
    Case(73, "dictionary null", parquet(asset_id=NOTHING), R, "blank_asset_id", PARQUET),
    Case(73, "null weight", parquet(target_weight=pa.array([None], pa.float64())), R, "missing_weight", PARQUET),
    Case(73, "cut off", file(b"PAR1" + b"\0" * 50, "weights.parquet"), R, "wrong_format", PARQUET),
    Case(73, "damaged", file(b"PAR1" + b"\1" * 50 + b"PAR1", "weights.parquet"), R, "unreadable_parquet", PARQUET),
    Case(47, "NA in parquet", parquet(asset_id=["NA"]), OK, entry=PARQUET),
    Case(50, "0700 in parquet", parquet(asset_id=["0700"]), OK, entry=PARQUET),
    Case(74, "duplicate key", json(f"[{TWICE}]"), R, "duplicate_key", JSON),
    Case(74, "duplicate date", json(f'{{"{DAY}": {{"A": 1}}, "{DAY}": {{"A": 1}}}}'), R, "duplicate_key", WIDE_JSON),
    Case(74, "NaN", weight("NaN"), R, "json_constant", JSON),
    Case(74, "Infinity", weight("Infinity"), R, "json_constant", JSON),
    Case(74, "1e400", weight("1e400"), R, "infinite_weight", JSON),
    Case(74, "null", weight("null"), R, "missing_weight", JSON),
    Case(74, "boolean", weight("true"), R, "json_boolean", JSON),
    Case(74, "boolean that is not read", json(f'[{RECORD[:-1]}, "live": true}}]'), W, "extra_column", JSON),
    Case(74, "list that is not read", json(f'[{RECORD[:-1]}, "tags": [[1], {{"a": NaN}}]}}]'), W, "extra_column", JSON),
    Case(74, "list as weight", weight("[1]"), R, "too_deep", JSON),
    Case(56, "another account in json", json(f'[{RECORD[:-1]}, "account": "U2"}}]'), R, "wrong_owner", JSON),
    Case(74, "cut off", json(f"[{RECORD},"), R, "json_syntax", JSON),
    Case(74, "other shape", json('{"columns": []}'), R, "wrong_shape", JSON),
    Case(65, "number as text in json", weight('"1"'), W, "number_as_text", JSON),
    Case(47, "NA in json", json(f"[{RECORD.replace(chr(65), 'NA', 1)}]"), OK, entry=JSON),
    Case(6, "cash disagrees", wide(f"{DAY},0.5,0.3,0.1"), R, "cash_disagrees", WIDE),
    Case(28, "nothing but cash", wide(f"{DAY},1", header="date,cash"), R, "only_cash", WIDE),
    Case(28, "nothing but cash on one date", json(f'{{"{DAY}": {{"cash": 1}}}}'), R, "only_cash", JSON),
    Case(6, "cash agrees", wide(f"{DAY},0.5,0.3,0.2"), OK, entry=WIDE),
    Case(1, "blank cell of a wide file", wide(f"{DAY},1,,0"), R, "missing_weight", WIDE),
    Case(1, "blank is zero", wide(f"{DAY},1,,0"), OK, entry=WIDE | {"blank_is_zero": True}),
    Case(74, "date twice in two spellings", json(DAY_TWICE), R, "duplicate_key", JSON),
    Case(1, "null is zero where declared", json(WITH_NULL), OK, entry=JSON | {"blank_is_zero": True}),
    Case(37, "cash twice", wide(f"{DAY},.4,.4,.2,.2", header="date,A,B,cash,Cash"), R, "duplicate_column", WIDE),
    Case(37, "asset twice in a wide file", wide(f"{DAY},0.5,0.5", header="date,A,A"), R, "duplicate_column", WIDE),
    Case(31, "note column", wide(f"{DAY},0.5,0.4,0.1", header="date,A,B,turnover"), R, "not_an_asset", WIDE),
    Case(31, "NET is a ticker", wide(f"{DAY},0.5,0.5", header="date,A,NET"), OK),
    Case(54, "two spellings in columns", wide(f"{DAY},0.5,0.5", header="date,BF.B,BF-B"), R, "two_ids_one_instrument"),
    Case(39, "row numbers in a wide file", wide(f"0,{DAY},0.5,0.5", header="index,date,A,B"), OK),
    Case(31, "total column", wide(f"{DAY},0.5,0.5,1", header="date,A,B,Total"), R, "total_row", WIDE),
    Case(16, "no date column in a wide file", wide("0.5,0.5", header="A,B"), R, "missing_column", WIDE),
]  # fmt: skip
