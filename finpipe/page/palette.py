"""Colours of the report in light and in dark, used by the page and by the pictures.

One hue for the portfolio and what is good, one for losses, grey for the benchmark and everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Palette:
    """Colours by role; each is a CSS hexadecimal colour, with opacity where its name says ``soft`` or ``faint``.

    Parameters
    ----------
    page, surface, rule
        Background, raised background, and hairlines.
    ink, muted
        Text, and text of second rank.
    portfolio, benchmark, loss
        The three roles of data. ``portfolio`` also stands for gains and passed checks.
    q1, q2, q3, q4, q5
        Quantiles of the rank, from worst to best.
    """

    page: str
    surface: str
    rule: str
    ink: str
    muted: str
    portfolio: str
    portfolio_soft: str
    portfolio_faint: str
    benchmark: str
    benchmark_soft: str
    loss: str
    loss_soft: str
    q1: str
    q2: str
    q3: str
    q4: str
    q5: str

    def css(self) -> str:
        """Return the colours as CSS custom properties, ``--portfolio-soft: #...;``."""
        return "".join(
            f"--{field.name.replace('_', '-')}:{getattr(self, field.name)};" for field in fields(self)
        )


LIGHT = Palette(
    page="#ffffff",
    surface="#f5f7f7",
    rule="#e2e6e7",
    ink="#14191c",
    muted="#5a666c",
    portfolio="#0b6b66",
    portfolio_soft="#0b6b6633",
    portfolio_faint="#0b6b6640",
    benchmark="#8c979d",
    benchmark_soft="#8c979d73",
    loss="#c04d27",
    loss_soft="#c04d2733",
    q1="#c04d27",
    q2="#dd9b80",
    q3="#9aa4a9",
    q4="#6aa8a2",
    q5="#0b6b66",
)

DARK = Palette(
    page="#101416",
    surface="#181e20",
    rule="#2a3235",
    ink="#e8ecec",
    muted="#9aa6aa",
    portfolio="#52c4b8",
    portfolio_soft="#52c4b833",
    portfolio_faint="#52c4b847",
    benchmark="#78858a",
    benchmark_soft="#78858a73",
    loss="#f08a64",
    loss_soft="#f08a6433",
    q1="#f08a64",
    q2="#b3745c",
    q3="#78858a",
    q4="#3f8a83",
    q5="#52c4b8",
)
