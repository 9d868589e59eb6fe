"""From the bytes of a weight file to rows that can be judged. Pure: no file is opened, nothing is guessed.

What belongs here: the steps in their order, format by format. What does not: where they run (`sandbox`,
`child`) and the rules over the rows they give (`rules`, `dating`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scizor_dagster.signals.cells import ParsedRows, parse_rows
from scizor_dagster.signals.columns import locate
from scizor_dagster.signals.report import Findings, Violation
from scizor_dagster.signals.spec import ReadSpec
from scizor_dagster.signals.tables import RawTable, ReadResult
from scizor_dagster.signals.wide import unpivot


@dataclass
class Reading:
    """What a file says.

    Attributes:
        rows: The rows that could be read; None where there is no table, or its columns are not known.
        count: Rows found below the header.
        violations: All that forbid using the file.
    """

    rows: ParsedRows | None = None
    count: int = 0
    violations: Findings = field(default_factory=Findings)
    warnings: Findings = field(default_factory=Findings)


def read(data: bytes, spec: ReadSpec) -> Reading:
    """Read a file's bytes as the manifest states. Raises nothing but MemoryError."""
    if not data:
        remedy = "Deliver the file again; to sell everything, write the assets with weight 0."
        return Reading(violations=Findings([Violation("empty_file", "The file has no content.", remedy)]))
    result = _container(data, spec)
    reading = Reading(violations=result.violations, warnings=result.warnings)
    if result.table is not None:
        reading.count = result.table.rows
        reading.violations.extend(_no_rows(result.table))
        reading.rows = _rows(result.table, spec, reading)
    if reading.rows is not None:
        reading.violations.absorb(reading.rows.violations)
        reading.warnings.absorb(reading.rows.warnings)
    return reading


def _container(data: bytes, spec: ReadSpec) -> ReadResult:
    # Each reader brings its libraries; the one that is not needed is not loaded.
    if spec.format == "csv":
        from scizor_dagster.signals.csv_reader import read_csv

        return read_csv(data, spec.delimiter)
    if spec.format == "xlsx":
        from scizor_dagster.signals.xlsx_reader import read_xlsx

        return read_xlsx(data, spec)
    if spec.format == "parquet":
        from scizor_dagster.signals.parquet_reader import read_parquet

        return read_parquet(data, spec)
    from scizor_dagster.signals.json_reader import read_json

    return read_json(data, spec)


def _rows(table: RawTable, spec: ReadSpec, reading: Reading) -> ParsedRows | None:
    spec = replace(spec, layout="wide") if table.unpivoted else spec.settled(table.header)
    if spec.layout == "wide" and not table.unpivoted:
        return unpivot(table, spec)
    located = locate(table, spec)
    reading.violations.extend(located.violations)
    reading.warnings.extend(located.warnings)
    return None if located.columns is None else parse_rows(table, located, spec)


def _no_rows(table: RawTable) -> tuple[Violation, ...]:
    if table.rows:
        return ()
    remedy = "Deliver the weights; to sell everything, write the assets with weight 0."
    problem = "The file has a header and no rows."
    return (Violation("no_rows", problem, remedy, line=table.header_line, sheet=table.sheet),)
