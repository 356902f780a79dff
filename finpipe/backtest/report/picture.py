"""The backtest as a still picture: for a README at full size, for a list of runs as a thumbnail.

Drawn with matplotlib's objects, without its global state, so that threads may draw at the same time.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from finpipe.backtest.performance import Performance
from finpipe.backtest.report import figures
from finpipe.page import known, numerals
from finpipe.page.palette import DARK, LIGHT, Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAMILIES = (
    "Inter",
    "Helvetica Neue",
    "Arial",
    "Liberation Sans",
    "DejaVu Sans",
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "NanumGothic",
    "Apple SD Gothic Neo",
    "Malgun Gothic",
)
"""Fonts in order of preference; those that are installed are used, the last ones for Korean."""

_HEADLINES = (
    ("annual_return", "Annual return"),
    ("sharpe", "Sharpe ratio"),
    ("max_drawdown", "Max drawdown"),
    ("mean_rank_ic", "Mean rank IC"),
    ("annual_turnover", "Turnover a year"),
    ("cost_drag", "Cost drag a year"),
)


def picture(
    performance: Performance,
    *,
    title: str,
    benchmark_name: str = "Benchmark",
    dark: bool = False,
    scale: float = 1.0,
) -> bytes:
    """Return a PNG of 1200 x 800 pixels times ``scale``.

    It shows the headline figures, equity and drawdown beside the benchmark, and returns and mean rank IC
    by year.

    Parameters
    ----------
    performance
        What is drawn; what it does not know is left empty.
    title
        Heading. Characters that no installed font has are replaced by a question mark.
    benchmark_name
        Name in the legend.
    dark
        Whether to draw on a dark ground.
    scale
        2 for screens of high resolution.
    """
    colours = DARK if dark else LIGHT
    figure = _figure(12, 8, colours)
    _text(figure, 0.04, 0.945, title, colours.ink, size=19, weight="bold")
    _text(figure, 0.04, 0.908, _period(performance), colours.muted, size=10.5)
    _headlines(figure, performance, colours, [name for name, _ in _HEADLINES], top=0.862, size=19)
    grid = figure.add_gridspec(
        2, 2, left=0.065, right=0.96, top=0.725, bottom=0.06, hspace=0.26, wspace=0.16, width_ratios=(1.75, 1),
        height_ratios=(1.9, 1),
    )  # fmt: skip
    _equity(figure.add_subplot(grid[0, 0]), performance, colours, benchmark_name)
    _drawdown(figure.add_subplot(grid[1, 0]), performance, colours)
    right = grid[:, 1].subgridspec(2, 1, hspace=0.32)
    _annual(figure.add_subplot(right[0]), performance, colours, benchmark_name)
    _rank_ic(figure.add_subplot(right[1]), performance, colours)
    return _png(figure, 100 * scale)


def thumbnail(performance: Performance, *, title: str, benchmark_name: str = "Benchmark") -> bytes:
    """Return a PNG of 600 x 300 pixels, below 60 kB: the equity curve and four headline figures."""
    figure = _figure(6, 3, LIGHT)
    _text(figure, 0.05, 0.885, title, LIGHT.ink, size=10.5, weight="bold")
    names = ["annual_return", "sharpe", "max_drawdown", "mean_rank_ic"]
    _headlines(figure, performance, LIGHT, names, top=0.785, size=12, small=7)
    axes = figure.add_axes((0.085, 0.11, 0.88, 0.42))
    _equity(axes, performance, LIGHT, benchmark_name, small=True)
    return _png(figure, 100)


def _figure(width: float, height: float, colours: Palette) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor=colours.page)
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure, dots_per_inch: float) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": "finpipe"})
    return buffer.getvalue()


def _headlines(
    figure: Figure,
    performance: Performance,
    colours: Palette,
    names: list[str],
    *,
    top: float,
    size: float,
    small: float = 9.5,
) -> None:
    found, labels = figures.whole_period(performance), dict(_HEADLINES)
    inches = figure.get_size_inches()[1] * 72
    left = 0.04 if inches > 300 else 0.05
    step = (0.965 - left) / len(names)
    for position, name in enumerate(names):
        x = left + step * position
        text = found[name].text if name in found else numerals.DASH
        _text(figure, x, top, labels[name], colours.muted, size=small)
        _text(figure, x, top - 1.35 * size / inches, text, colours.ink, size=size, weight="bold")


def _equity(
    axes: Axes, performance: Performance, colours: Palette, benchmark_name: str, *, small: bool = False
) -> None:
    daily = performance.daily
    dates = daily["date"].to_numpy()
    size = 7.5 if small else 9.5
    if known.has(daily["benchmark_equity"]):
        values = known.finite(daily["benchmark_equity"]).to_numpy()
        axes.plot(dates, values, color=colours.benchmark, linewidth=1, label=_drawable(benchmark_name))
    values = known.finite(daily["equity"]).to_numpy()
    axes.plot(dates, values, color=colours.portfolio, linewidth=1.6, label="Portfolio")
    _style(axes, colours, "" if small else "Growth of 1, after costs", lambda value: f"{value:g}×", size)
    legend = axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1.0),
        ncols=2,
        frameon=False,
        labelcolor=colours.muted,
        reverse=True,
        handlelength=1.2,
        borderaxespad=0.2,
    )
    for text in legend.get_texts():
        text.set(fontfamily=_families(), fontsize=size)
    _dates(axes, performance, size)


def _drawdown(axes: Axes, performance: Performance, colours: Palette) -> None:
    daily = performance.daily
    dates = daily["date"].to_numpy()
    values = known.finite(daily["drawdown"]).to_numpy()
    axes.fill_between(dates, values, 0, color=colours.loss_soft, linewidth=0)
    axes.plot(dates, values, color=colours.loss, linewidth=0.9)
    if known.has(daily["benchmark_drawdown"]):
        values = known.finite(daily["benchmark_drawdown"]).to_numpy()
        axes.plot(dates, values, color=colours.benchmark, linewidth=0.8)
    _style(axes, colours, "Below the latest high", lambda value: numerals.percent(value, 0))
    _dates(axes, performance)


def _annual(axes: Axes, performance: Performance, colours: Palette, benchmark_name: str) -> None:
    annual = performance.annual
    series = [("Portfolio", annual["portfolio_return"], colours.portfolio)]
    if known.has(annual["benchmark_return"]):
        series.append((benchmark_name, annual["benchmark_return"], colours.benchmark))
    width = 0.76 / len(series)
    for place, (_, values, colour) in enumerate(series):
        shift = (place - (len(series) - 1) / 2) * width
        axes.bar([x + shift for x in range(annual.height)], _bars(values), width * 0.92, color=colour)
    _style(axes, colours, "Return by year", lambda value: numerals.percent(value, 0), zero=True)
    _years(axes, annual)


def _rank_ic(axes: Axes, performance: Performance, colours: Palette) -> None:
    annual = performance.annual
    values = _bars(annual["mean_rank_ic"])
    shades = [colours.loss if value < 0 else colours.portfolio for value in values]
    axes.bar(range(annual.height), values, 0.6, color=shades)
    _style(axes, colours, "Mean rank IC by year", lambda value: numerals.decimal(value, 2), zero=True)
    _years(axes, annual)


def _style(
    axes: Axes,
    colours: Palette,
    title: str,
    label: Callable[[float], str],
    size: float = 9.5,
    *,
    zero: bool = False,
) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(colours.rule)
    axes.grid(axis="y", color=colours.rule, linewidth=0.8)
    axes.tick_params(length=0, labelsize=size, labelcolor=colours.muted, labelfontfamily=_families()[0])
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: label(value)))
    if zero:
        axes.axhline(0, color=colours.benchmark, linewidth=0.8)
    if title:
        axes.set_title(
            title,
            loc="left",
            fontsize=10.5,
            color=colours.ink,
            fontfamily=_families(),
            fontweight="bold",
            pad=9,
        )


def _dates(axes: Axes, performance: Performance, size: float = 9.5) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    dates = performance.daily["date"]
    locator = AutoDateLocator(minticks=3, maxticks=12)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    style = ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(style)
    axes.tick_params(axis="x", labelsize=size)
    if len(dates) > 1:
        axes.set_xlim(dates.to_numpy()[0], dates.to_numpy()[-1])


def _years(axes: Axes, annual: pl.DataFrame) -> None:
    every = 1 if annual.height <= 7 else 2 if annual.height <= 16 else 4
    ticks = range(0, annual.height, every)
    axes.set_xticks(list(ticks), [str(annual["year"][tick]) for tick in ticks])
    room = max(4 - annual.height, 0) / 2
    axes.set_xlim(-0.6 - room, annual.height - 0.4 + room)


def _bars(column: pl.Series) -> list[float]:
    return known.finite(column).fill_null(0.0).to_list()


def _period(performance: Performance) -> str:
    dates = performance.daily["date"]
    if dates.is_empty():
        return ""
    days = numerals.whole(len(dates))
    return f"{numerals.day(dates[0])} to {numerals.day(dates[-1])}   ·   {days} trading days, after costs"


def _text(
    figure: Figure, x: float, y: float, text: str, colour: str, *, size: float, weight: str = "normal"
) -> None:
    figure.text(
        x,
        y,
        _drawable(text),
        color=colour,
        fontsize=size,
        fontweight=weight,
        fontfamily=_families(),
        parse_math=False,
    )


@cache
def _families() -> list[str]:
    """Return the installed ones of ``FAMILIES``; DejaVu Sans comes with matplotlib."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return [family for family in FAMILIES if family in installed]


@cache
def _characters() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, fontManager, get_font

    found: set[int] = set()
    for family in _families():
        found.update(get_font(fontManager.findfont(FontProperties(family=family))).get_charmap())
    return frozenset(found)


def _drawable(text: str) -> str:
    """Return ``text`` with a question mark for each character that no installed font has."""
    return "".join(character if ord(character) in _characters() else "?" for character in text)
