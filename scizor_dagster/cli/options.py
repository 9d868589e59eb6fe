"""Options that many commands take, said once; what Tab offers for them goes by their names (`completing`).

What belongs here: options that mean the same everywhere. What does not: those of one command.
"""

from __future__ import annotations

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Answer as one JSON object on stdout.")]
PortfolioOption = Annotated[str, typer.Option(help="Portfolio of the configuration.")]
MarketOption = Annotated[str, typer.Option(help="Market of the configuration.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it stands in the ledger.")]
ReasonKept = Annotated[str, typer.Option(help="Why it is believed; kept with your name.")]
