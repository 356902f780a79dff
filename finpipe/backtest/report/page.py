"""The tear sheet: one HTML file that needs nothing but a browser, neither network nor finpipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from finpipe.backtest.performance import Performance
from finpipe.backtest.report import header, sections
from finpipe.page.document import document


def render_report(
    performance: Performance,
    *,
    title: str,
    study: Mapping[str, object],
    data: Mapping[str, object],
    notes: Sequence[str] = (),
    picks: pl.DataFrame | None = None,
    benchmark_name: str = "Benchmark",
) -> str:
    """Return the tear sheet of a backtest as one HTML document.

    The document holds plotly.js, its style, its data and all figures, and opens without a network. The
    block ``<script type="application/json" id="figures">`` is ``performance.figures`` at full precision;
    each number of the page is also the ``value`` of a ``<data>`` element.

    Parameters
    ----------
    performance
        What is shown. Frames without rows, nulls and NaN become dashes or leave their part out.
    title
        Heading of the page.
    study, data
        Parameters of the study and facts about the data: name to value, or to ``(value, description)``; a
        nested mapping is shown as a group under its name. ``parameters.documented`` makes one of a
        dataclass. ``preset`` and ``description`` of ``study`` also stand in the header.
    notes
        Sentences that a reader must see first, such as a missing benchmark or synthetic data.
    picks
        The latest lists, under ``backtest.picks.PICKS``, of which any column may be missing; columns that
        it does not know are left out.
    benchmark_name
        Name of the benchmark in legends and text.
    """
    parts = [
        sections.growth(performance, benchmark_name),
        sections.calendar(performance, benchmark_name),
        sections.ranking(performance),
        sections.risk(performance, benchmark_name),
        sections.trading(performance),
        sections.sectors(performance),
        sections.importance(performance),
        sections.significance(performance),
        sections.picks(picks),
        sections.setup(study, data),
        sections.definitions(performance),
    ]
    return document(
        title,
        header.header(performance, title, study, notes, benchmark_name),
        [part for part in parts if part is not None],
        footer="Simulated on past prices by finpipe; simulated results say little about future ones.",
        data={"figures": performance.figures.to_dicts()},
    )
