"""Portfolios saved as JSON files in a folder: one file each, written whole or not at all."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import fsum, isfinite
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class SavedPortfolioError(ValueError):
    """A portfolio cannot be saved, found or read; the message says which, where and what would work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPortfolio:
    """A portfolio as it is kept.

    Parameters
    ----------
    id
        Letters, digits, ``_`` and ``-``, at most 64; the name of its file.
    weights
        Ticker to fraction of the whole.
    prices
        Ticker to price when it was made; may be empty.
    expected_return, volatility, sharpe
        Per year, as expected when it was made; None where unknown.
    saved_at
        When it was saved, with a time zone; None for a file that does not say.
    metadata
        How it was made: what JSON can hold.

    Raises
    ------
    SavedPortfolioError
        The id, a weight or a price is not valid.
    """

    id: str
    weights: Mapping[str, float]
    prices: Mapping[str, float] = field(default_factory=dict)
    expected_return: float | None = None
    volatility: float | None = None
    sharpe: float | None = None
    saved_at: dt.datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_id(self.id)
        if not self.weights:
            raise SavedPortfolioError(f"portfolio {self.id} has no weights")
        for name, numbers in (("weight", self.weights), ("price", self.prices), ("metadata", self.metadata)):
            if not isinstance(numbers, Mapping):
                raise SavedPortfolioError(f"portfolio {self.id}: its {name} is no object of names and values")
            if name == "metadata":
                continue
            for ticker, value in numbers.items():
                if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
                    raise SavedPortfolioError(
                        f"portfolio {self.id}: the {name} of {ticker} is {value!r}, not a number"
                    )
        total = fsum(self.weights.values())
        if not 0 < total <= 1 + 1e-6:
            raise SavedPortfolioError(
                f"portfolio {self.id}: its weights sum to {total:.6g}, it must be above 0 and at most 1"
            )


@dataclass(frozen=True, slots=True)
class SavedPortfolios:
    """The portfolios of a folder.

    Parameters
    ----------
    folder
        Made when the first portfolio is saved.
    """

    folder: Path

    def save(self, portfolio: SavedPortfolio, *, replace: bool = False) -> Path:
        """Write a portfolio and return its file.

        Raises
        ------
        SavedPortfolioError
            One of that id exists and ``replace`` is false, or the metadata is not JSON.
        """
        content = {"schema_version": SCHEMA_VERSION, **asdict(portfolio)}
        content["saved_at"] = portfolio.saved_at.isoformat() if portfolio.saved_at else None
        try:
            text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SavedPortfolioError(
                f"portfolio {portfolio.id} cannot be written as JSON: {error}"
            ) from None
        path = self._path(portfolio.id)
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{portfolio.id}.", suffix=".tmp", dir=self.folder)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            if replace:
                temporary.replace(path)
            else:
                os.link(temporary, path)
        except FileExistsError:
            raise SavedPortfolioError(
                f"there is a portfolio {portfolio.id} already in {self.folder}: choose another id, or replace it"
            ) from None
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def load(self, portfolio_id: str) -> SavedPortfolio:
        """Read a portfolio.

        Raises
        ------
        SavedPortfolioError
            There is none of that id (lists those that there are), or its file is damaged.
        """
        path = self._path(portfolio_id)
        if not path.is_file():
            raise self._unknown(portfolio_id)
        return read_portfolio(path)

    def ids(self) -> tuple[str, ...]:
        """Ids of the saved portfolios, sorted."""
        if not self.folder.is_dir():
            return ()
        return tuple(sorted(path.stem for path in self.folder.glob("*.json") if _ID.fullmatch(path.stem)))

    def list(self) -> tuple[tuple[SavedPortfolio, ...], dict[str, str]]:
        """Read all portfolios, latest first; and id to what is wrong for those that cannot be read."""
        found, damaged = [], {}
        for portfolio_id in self.ids():
            try:
                found.append(self.load(portfolio_id))
            except SavedPortfolioError as error:
                damaged[portfolio_id] = str(error)
        found.sort(key=lambda each: each.saved_at.timestamp() if each.saved_at else 0.0, reverse=True)
        return tuple(found), damaged

    def delete(self, portfolio_id: str) -> None:
        """Remove a portfolio.

        Raises
        ------
        SavedPortfolioError
            There is none of that id.
        """
        try:
            self._path(portfolio_id).unlink()
        except FileNotFoundError:
            raise self._unknown(portfolio_id) from None

    def _path(self, portfolio_id: str) -> Path:
        _check_id(portfolio_id)
        return self.folder / f"{portfolio_id}.json"

    def _unknown(self, portfolio_id: str) -> SavedPortfolioError:
        there = ", ".join(self.ids()) or "none"
        return SavedPortfolioError(f"no portfolio {portfolio_id} in {self.folder}; saved there: {there}")


def read_portfolio(path: Path) -> SavedPortfolio:
    """Read a portfolio from a file, saved here or written by hand: an object with at least ``weights``.

    Raises
    ------
    SavedPortfolioError
        The file is absent, is no such JSON, or is of a later schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SavedPortfolioError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SavedPortfolioError(f"{path} is not readable as JSON: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("weights"), dict):
        raise SavedPortfolioError(
            f'{path} is no portfolio: it needs an object such as {{"weights": {{"AAPL": 0.6, "MSFT": 0.4}}}}'
        )
    version = content.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise SavedPortfolioError(
            f"{path} has schema version {version!r}, this finpipe reads up to {SCHEMA_VERSION}: use a newer one"
        )
    known = {name: content[name] for name in _FIELDS if content.get(name) is not None}
    try:
        if "saved_at" in known:
            known["saved_at"] = dt.datetime.fromisoformat(known["saved_at"])
        return SavedPortfolio(**{"id": _id_of(path), **known})
    except (SavedPortfolioError, TypeError, ValueError) as error:
        raise SavedPortfolioError(f"{path} is damaged: {error}") from None


_FIELDS = ("id", "weights", "prices", "expected_return", "volatility", "sharpe", "saved_at", "metadata")


def _id_of(path: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).lstrip("-_")[:64]
    return name or "portfolio"


def _check_id(portfolio_id: str) -> None:
    if not isinstance(portfolio_id, str) or not _ID.fullmatch(portfolio_id):
        raise SavedPortfolioError(
            f"{portfolio_id!r} is no id of a portfolio: use 1 to 64 letters, digits, _ and -, beginning with a "
            "letter or digit"
        )
