"""A backtest in the lake that nobody has run: a row of empty values, for what only looks for its id."""

from datetime import UTC, date, datetime

from scizor_dagster.lake.connection import Lake

_EMPTY = {
    "VARCHAR": "", "DATE": date(2025, 2, 3), "BIGINT": 0, "INTEGER": 0, "DOUBLE": 0.0, "TIMESTAMP": datetime.now(UTC)
}  # fmt: skip
_JSON = {"request": "{}", "rules": "{}", "choices": "{}", "figures": "{}", "notes": "[]"}


def store_empty_backtest(lake: Lake, backtest_id: str, name: str = "") -> None:
    with lake.write() as cursor:
        columns = cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'backtests'"
        ).fetchall()
        row = {column: _EMPTY[kind.split(" ")[0]] for column, kind in columns} | _JSON
        row |= {"backtest_id": backtest_id, "name": name}
        marks = ", ".join("?" * len(row))
        cursor.execute(f"INSERT INTO lake.backtests ({', '.join(row)}) VALUES ({marks})", [*row.values()])
