"""The page as HTML: one file that needs nothing from anywhere.

What belongs here: putting the sections in their order, and rendering them. What does not: their content.

Everything is escaped by the template engine; what is not is the SVG of our own charts, which holds no text of a user.
The same facts give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from scizor_dagster.analytics.report.facts import ReportFacts
from scizor_dagster.analytics.report.holdings import positions, provenance, quality
from scizor_dagster.analytics.report.model import Page
from scizor_dagster.analytics.report.results import earned, paid
from scizor_dagster.analytics.report.trading import broken, decided, done
from scizor_dagster.analytics.report.verdict import state_of, tone_of, verdict

TEMPLATES = Path(__file__).parent / "templates"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""Content-Security-Policy of the page: styles within it and pictures within it, and nothing else."""


def page_of(facts: ReportFacts) -> Page:
    """The sections of a session, in the order in which a person asks."""
    first = verdict(facts)
    rest = (decided, done, broken, earned, paid, positions, quality, provenance)
    return Page(
        portfolio=facts.portfolio,
        session=str(facts.session),
        subtitle=f"{facts.market}, account {facts.account}, {facts.currency}; {state_of(facts)}",
        tone=tone_of(first),
        sections=(first, *(section(facts) for section in rest)),
    )


def render(page: Page) -> str:
    """The page as one HTML document."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(page=page, style=style, policy=POLICY)
