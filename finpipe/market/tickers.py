"""Tickers and groups of tickers: their one spelling, the groups that ship with finpipe, and own ones.

Tickers are spelled as Yahoo spells them. The shipped groups are lists under ``groups/``, each with the date it speaks
for; an index changes its members several times a year, so a group is a starting point, not a record of membership.
They were written from public knowledge, not from the files of index providers. ``kospi200`` is not the KOSPI 200 but an
incomplete approximation of it by large names, fewer than 200: the exchange's list is licensed.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

SHIPPED_GROUPS = ("sp500", "dow30", "nasdaq100", "kospi200")
"""Groups that ship as CSV files."""

DEMO_GROUP = "demo"
"""The tickers of the synthetic market."""

_SPELLING = re.compile(r"\^?[A-Z0-9][A-Z0-9.&=-]{0,19}")
_US_CLASS_SHARE = re.compile(r"([A-Z]{1,5})\.([ABC])")
_GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LIST_FILES = (".csv", ".txt")


class TickerError(ValueError):
    """A ticker or a group cannot be used; the message says which, why, and what would work."""


@dataclass(frozen=True, slots=True)
class TickerGroup:
    """Tickers under one name.

    Parameters
    ----------
    name
        What the group is called, e.g. ``sp500``; the stem of the file for a group from a file.
    tickers
        Canonical spelling, sorted, each once.
    sectors
        GICS sector by ticker; a ticker without an entry has no known sector.
    as_of
        The day the list speaks for, ISO; None where nobody said.
    """

    name: str
    tickers: tuple[str, ...]
    sectors: dict[str, str] = field(default_factory=dict)
    as_of: str | None = None


def canonical_ticker(text: str) -> str:
    """Spell one ticker as Yahoo does: upper case, and ``-`` before the class letter of a US share.

    ``brk.b`` becomes ``BRK-B``; ``005930.KS`` and ``VOD.L`` keep their dot, which names an exchange there.

    Raises
    ------
    TickerError
        If the text is empty, is a path or holds characters that no ticker has.
    """
    if not isinstance(text, str):
        raise TickerError(f"{text!r} is no ticker: give texts such as AAPL or 005930.KS")
    ticker = text.strip().upper()
    if not ticker:
        raise TickerError("a ticker is empty; give symbols such as AAPL or 005930.KS")
    if not _SPELLING.fullmatch(ticker) or ".." in ticker:
        raise TickerError(
            f"{text!r} is no ticker: letters, digits and . - & = are allowed, at most 20 of them, e.g. AAPL, BRK-B, "
            "005930.KS or ^GSPC"
        )
    share = _US_CLASS_SHARE.fullmatch(ticker)
    return f"{share[1]}-{share[2]}" if share else ticker


def canonical_tickers(texts: Iterable[str]) -> tuple[str, ...]:
    """Spell tickers as :func:`canonical_ticker` does, in the order given.

    Raises
    ------
    TickerError
        If there is none, or one comes twice, be it in two spellings.
    """
    if isinstance(texts, str):
        raise TickerError(f"expected a list of tickers, got the text {texts!r}; split it at its commas first")
    if not isinstance(texts, Iterable):
        raise TickerError(f"expected a list of tickers, got {texts!r}")
    spelled: dict[str, str] = {}
    for text in texts:
        ticker = canonical_ticker(text)
        if ticker in spelled:
            other = spelled[ticker]
            again = (
                f"{text!r} is there twice" if other == text else f"{other!r} and {text!r} are both {ticker}"
            )
            raise TickerError(f"duplicate ticker: {again}; name each once")
        spelled[ticker] = text
    if not spelled:
        raise TickerError("no tickers given; name at least one, e.g. AAPL")
    return tuple(spelled)


def ticker_group(
    name_or_path: str | Path, own_groups: Mapping[str, Sequence[str] | str] | None = None
) -> TickerGroup:
    """Look a group up by its name, or read it from a file.

    Parameters
    ----------
    name_or_path
        A name of :func:`group_names`, or a file: ``.csv`` with a column ``ticker`` (and ``sector``, if known),
        or ``.txt`` with tickers apart by spaces, commas or lines. ``#`` begins a comment in both.
    own_groups
        Groups from the settings: lists of tickers, or the path of such a file. An own group goes before a
        shipped one of the same name.

    Raises
    ------
    TickerError
        If there is no such group (names those there are and the nearest), or its content is wrong (says where).
    """
    own = dict(own_groups or {})
    name = str(name_or_path).strip()
    if name in own:
        content = own[name]
        if not _GROUP_NAME.fullmatch(name):
            raise TickerError(f"group name {name!r} is not usable: letters, digits, _ and - only")
        if isinstance(content, str):
            return _from_file(Path(content), name)
        return _group(name, [(ticker, "") for ticker in content], f"group {name!r} of the settings")
    if name == DEMO_GROUP:
        from finpipe.market.demo_bars import demo_group

        return demo_group()
    if name in SHIPPED_GROUPS:
        text = resources.files("finpipe.market").joinpath("groups", f"{name}.csv").read_text("utf-8")
        return _from_csv(text, name, f"group {name!r}")
    if Path(name).suffix.lower() in _LIST_FILES or "/" in name or "\\" in name:
        return _from_file(Path(name), Path(name).stem)
    known = group_names(own)
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise TickerError(
        f"unknown ticker group {name!r}.{meant} There are {', '.join(known)}; or give a .csv or .txt file, "
        "or add the group under [groups] in finpipe.toml"
    )


def group_names(own_groups: Mapping[str, Sequence[str] | str] | None = None) -> tuple[str, ...]:
    """Names that :func:`ticker_group` knows, own ones last."""
    shipped = (*SHIPPED_GROUPS, DEMO_GROUP)
    return (*shipped, *(name for name in sorted(own_groups or {}) if name not in shipped))


def _from_file(path: Path, name: str) -> TickerGroup:
    where = f"ticker file {path}"
    if path.suffix.lower() not in _LIST_FILES:
        raise TickerError(f"{where}: expected a .csv or a .txt file")
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise TickerError(f"{where} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TickerError(f"{where} is not UTF-8 text (byte {error.start})") from error
    if path.suffix.lower() == ".csv":
        return _from_csv(text, name, where)
    words = (
        word for line in text.splitlines() for word in re.split(r"[\s,;]+", line.partition("#")[0]) if word
    )
    return _group(name, [(word, "") for word in words], where)


def _from_csv(text: str, name: str, where: str) -> TickerGroup:
    as_of = re.search(r"^#.*\bas of (\d{4}-\d{2}-\d{2})", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    rows = csv.DictReader(lines, skipinitialspace=True)
    names = {column.strip().lower(): column for column in rows.fieldnames or ()}
    if "ticker" not in names:
        raise TickerError(
            f"{where} has no column 'ticker'; its first line reads {lines[0]!r}"
            if lines
            else f"{where} is empty"
        )
    sector = names.get("sector")
    members = [(row[names["ticker"]] or "", (row[sector] or "").strip() if sector else "") for row in rows]
    return _group(name, members, where, as_of[1] if as_of else None)


def _group(
    name: str, members: Sequence[tuple[str, str]], where: str, as_of: str | None = None
) -> TickerGroup:
    try:
        tickers = canonical_tickers(ticker for ticker, _ in members)
    except TickerError as error:
        raise TickerError(f"{where}: {error}") from error
    sectors = {ticker: sector for ticker, (_, sector) in zip(tickers, members, strict=True) if sector}
    return TickerGroup(name, tuple(sorted(tickers)), dict(sorted(sectors.items())), as_of)
