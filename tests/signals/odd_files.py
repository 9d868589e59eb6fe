"""Odd but valid weight files, made from a seed: whatever a tool or a hand may write and still be right.

Each draws its features at random; the weights and ids are known, so that a test can compare them.
"""

import io
import json
import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.signals.builders import NYSE

TICKERS = ("NA", "TRUE", "1E5", "0700", "BRK.B", "SPY", "null", "AAPL", "1161", "T", "nan", "005930")
FORMATS = ("csv", "xlsx", "parquet", "json")


@dataclass
class OddFile:
    """A file, how it is declared, and what it means."""

    path: Path
    entry: dict[str, Any]
    rows: list[tuple[date, str, float]] = field(default_factory=list)


def odd_file(seed: int, folder: Path) -> OddFile:
    """The file of a seed."""
    rng = random.Random(seed)
    name = FORMATS[seed % len(FORMATS)]
    layout = rng.choice(["long", "long", "wide"])
    rows = _rows(rng)
    odd = OddFile(folder / f"weights.{name}", {"format": name, "layout": layout, "guards": {}}, rows)
    if len([weight for day, _, weight in rows if day == rows[-1][0] and weight]) == 1:
        # A strategy that may be in one asset alone says so.
        odd.entry["guards"] = {"one_name": "accept"}
    if layout == "wide":
        _WIDE[name](odd, rng)
    else:
        _LONG[name](odd, rng)
    if rng.random() < 0.5 and all(ticker == ticker.upper() for _, ticker, _ in rows):
        # The header then says which of the two it is.
        del odd.entry["layout"]
    return odd


def _rows(rng: random.Random) -> list[tuple[date, str, float]]:
    first = NYSE.next_session(date(2024, 1, 1) + timedelta(days=rng.randrange(400)))
    sessions = NYSE.sessions(first, first + timedelta(days=40))[: rng.randint(1, 4)]
    tickers = rng.sample(TICKERS, rng.randint(1, len(TICKERS)))
    rows: list[tuple[date, str, float]] = []
    for day in sessions:
        parts = [rng.choice((0.0, rng.random())) for _ in tickers]
        parts[0] = parts[0] or 1.0
        # What real optimisers leave: sums from 0.9989 to 1.0011.
        scale = rng.uniform(0.9989, 1.0011) / sum(parts)
        rows += [(day, ticker, round(part * scale, 10)) for ticker, part in zip(tickers, parts, strict=True)]
    return rows


def _number(rng: random.Random, value: float) -> str:
    if value == int(value):
        return rng.choice([str(int(value)), repr(value), f"+{int(value)}"])
    return rng.choice([repr(value), f"{value:.12f}", f"{value:.12e}", f"+{value!r}", repr(value).removeprefix("0")])


def _day(rng: random.Random, day: date) -> str:
    return rng.choice([day.isoformat(), f"{day} 00:00:00", f"{day}T00:00:00"])


def _spelt(rng: random.Random, name: str) -> str:
    return rng.choice([name, name, name.upper(), name.title(), f" {name} "])


def _csv(odd: OddFile, rng: random.Random, table: list[list[str]]) -> None:
    delimiter = rng.choice([",", ",", ";", "\t", "|"])
    if delimiter != ",":
        odd.entry["delimiter"] = delimiter
    if rng.random() < 0.3:
        table = [["" if at == 0 else str(at - 1), *row] for at, row in enumerate(table)]
    if rng.random() < 0.3 and odd.entry["layout"] == "long":
        table = [[*row, "note" if at == 0 else "x"] for at, row in enumerate(table)]
    quote = rng.choice([lambda cell: cell, lambda cell: f'"{cell}"'])
    end = rng.choice(["\n", "\r\n", "\r"])
    text = end.join(delimiter.join(map(quote, row)) for row in table)
    text += rng.choice([end, end, end * 3, ""])
    odd.path.write_bytes((rng.choice(["", "\ufeff"]) + text).encode())


def _long_csv(odd: OddFile, rng: random.Random) -> None:
    header = [_spelt(rng, name) for name in ("trade_date", "asset_id", "target_weight")]
    decimal = rng.choice([".", ".", ","])
    blank = rng.choice(["", "", " "])
    table = [header]
    for day, ticker, value in odd.rows:
        number = _number(rng, value)
        table.append([_day(rng, day), ticker + blank, number.replace(".", ",") if decimal == "," else number])
    _csv(odd, rng, table)
    if decimal == ",":
        odd.entry["decimal"] = ","
        odd.path.write_bytes(_requoted(odd))


def _requoted(odd: OddFile) -> bytes:
    """With a decimal comma the fields must not be parted by one."""
    data = odd.path.read_bytes().decode()
    if odd.entry.get("delimiter") is None and '"' not in data:
        lines = []
        for line in data.splitlines():
            cells = line.split(",")
            start = next((at for at, cell in enumerate(cells) if cell[:2] == "20"), None)
            lines.append(line if start is None else _joined(cells, start))
        data = "\n".join(lines) + "\n"
    return data.encode()


def _joined(cells: list[str], start: int) -> str:
    extra = cells[-1:] if cells[-1] == "x" else []
    number = ",".join(cells[start + 2 : len(cells) - len(extra)])
    return ",".join([*cells[: start + 2], f'"{number}"', *extra])


def _wide_table(odd: OddFile) -> tuple[list[date], list[str], dict[tuple[date, str], float]]:
    values = {(day, ticker): value for day, ticker, value in odd.rows}
    return sorted({day for day, _ in values}), list(dict.fromkeys(ticker for _, ticker in values)), values


def _wide_csv(odd: OddFile, rng: random.Random) -> None:
    days, tickers, values = _wide_table(odd)
    table = [[rng.choice(["date", "Date", "trade_date"]), *tickers]]
    table += [[_day(rng, day), *(_number(rng, values[day, ticker]) for ticker in tickers)] for day in days]
    _csv(odd, rng, table)


def _long_xlsx(odd: OddFile, rng: random.Random) -> None:
    table: list[list[Any]] = [[_spelt(rng, name) for name in ("trade_date", "asset_id", "target_weight")]]
    kind = rng.choice([lambda day: day, lambda day: datetime(day.year, day.month, day.day), str])  # noqa: DTZ001
    table += [[kind(day), ticker, int(value) if value == int(value) else value] for day, ticker, value in odd.rows]
    _xlsx(odd, rng, table)


def _wide_xlsx(odd: OddFile, rng: random.Random) -> None:
    days, tickers, values = _wide_table(odd)
    table: list[list[Any]] = [["date", *tickers, "CASH"]]
    for day in days:
        row = [values[day, ticker] for ticker in tickers]
        table.append([day, *row, round(1 - sum(row), 12)])
    _xlsx(odd, rng, table)


def _xlsx(odd: OddFile, rng: random.Random, table: list[list[Any]]) -> None:
    workbook = openpyxl.Workbook()
    if rng.random() < 0.3:
        table = [["" if at == 0 else at - 1, *row] for at, row in enumerate(table)]
    for _ in range(rng.choice([0, 0, 2])):
        table.insert(0, [])
    for row in table:
        workbook.active.append(row)
    if rng.random() < 0.3:
        workbook.create_sheet("Hidden").sheet_state = "hidden"
    workbook.save(odd.path)


def _long_parquet(odd: OddFile, rng: random.Random) -> None:
    days = [day for day, _, _ in odd.rows]
    ids = pa.array([ticker for _, ticker, _ in odd.rows])
    weights = [value for _, _, value in odd.rows]
    columns = {
        "trade_date": rng.choice([
            pa.array(days), pa.array([str(day) for day in days]), pa.array(days).cast(pa.timestamp("ns")),
            pa.array(days).cast(pa.timestamp("us")), pa.array([str(day) for day in days]).dictionary_encode(),
        ]),
        "asset_id": rng.choice([ids, ids.cast(pa.large_string()), ids.dictionary_encode()]),
        "target_weight": rng.choice([
            pa.array(weights), pa.array([Decimal(f"{value:.10f}") for value in weights], pa.decimal128(20, 10)),
        ]),
    }  # fmt: skip
    table = pa.table(columns)
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        frame = pd.DataFrame({name: column.to_pylist() for name, column in columns.items()})
        frame.index = pd.Index(range(5, 5 + len(frame)), name=None)
        frame.astype({"target_weight": float}).sample(frac=1.0, random_state=1).sort_index().to_parquet(
            buffer, index=True
        )
        odd.path.write_bytes(buffer.getvalue())
        return
    pq.write_table(table, odd.path, row_group_size=rng.choice([1, 3, 1000]), compression=rng.choice(["zstd", "none"]))


def _wide_parquet(odd: OddFile, rng: random.Random) -> None:
    days, tickers, values = _wide_table(odd)
    columns: dict[str, Any] = {ticker: [values[day, ticker] for day in days] for ticker in tickers}
    frame = pd.DataFrame(columns, index=pd.Index(days, name=rng.choice(["date", "Date"])))
    frame.to_parquet(odd.path)


def _long_json(odd: OddFile, rng: random.Random) -> None:
    names = [_spelt(rng, name) for name in ("trade_date", "asset_id", "target_weight")]
    records = [dict(zip(names, (_day(rng, day), ticker, value), strict=True)) for day, ticker, value in odd.rows]
    odd.path.write_text(json.dumps(records, indent=rng.choice([None, 2])), encoding="utf-8")


def _wide_json(odd: OddFile, rng: random.Random) -> None:
    days, tickers, values = _wide_table(odd)
    body = {_day(rng, day): {ticker: values[day, ticker] for ticker in tickers} for day in days}
    odd.path.write_text(rng.choice(["", "\ufeff"]) + json.dumps(body, indent=rng.choice([None, 1])), encoding="utf-8")


_LONG = {"csv": _long_csv, "xlsx": _long_xlsx, "parquet": _long_parquet, "json": _long_json}
_WIDE = {"csv": _wide_csv, "xlsx": _wide_xlsx, "parquet": _wide_parquet, "json": _wide_json}
