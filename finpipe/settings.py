"""Where data lives, which database, and the limits of a study: every setting, documented once.

A setting is looked up in this order: flags of the command, ``FINPIPE_*`` variables, ``finpipe.toml``
beside the database (in the home, where there is no database), the default below.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

CONFIG_NAME = "finpipe.toml"
RESULTS_NAME = "finpipe.duckdb"
PortfolioObjective = Literal[
    "max-sharpe",
    "min-volatility",
    "target-return",
    "target-volatility",
    "risk-parity",
    "hrp",
    "min-cvar",
    "max-diversification",
    "herc",
]
PortfolioForecast = Literal[
    "ensemble", "ets", "theta", "arima", "shrunk_mean", "equilibrium", "black_litterman", "prophet"
]
PortfolioCovariance = Literal["ledoit-wolf", "sample", "oas", "exponential", "denoised", "gerber"]
OPERATIONAL = frozenset(
    {
        *("home", "database", "store", "workers", "threads", "yahoo_mirror"),
        *("redis_url", "cache_memory", "cache_disk"),
        *(
            "serve_host",
            "serve_port",
            "serve_token",
            "serve_workers",
            "serve_rate",
            "serve_body",
            "serve_tickers",
        ),
        *("serve_seconds", "serve_job_seconds", "serve_warm"),
    }
)
"""Settings that say where and how fast, but never what comes out."""


class SettingsError(ValueError):
    """A setting has a value that cannot work; the message says which, where from and what would."""


class Settings(BaseSettings):
    """All settings of finpipe; the description of a field is its documentation."""

    model_config = SettingsConfigDict(env_prefix="FINPIPE_", extra="forbid", frozen=True)

    toml_file: ClassVar[Path | None] = None

    home: Path = Field(Path("data"), description="folder of everything that finpipe writes")
    database: Path | None = Field(
        None, description="the SQLite market database; the one used last in this home when not given"
    )
    store: str | None = Field(
        None, description="folder or object-store URL of the parquet files; <home>/store when not given"
    )
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="processes that train test years side by side",
    )
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="threads within one process: kernels, LightGBM",
    )
    min_price: float = Field(1_000, ge=0, description="universe: lowest closing price, KRW")
    min_market_cap: float = Field(500e9, ge=0, description="universe: lowest market capitalisation, KRW")
    min_value: float = Field(10e9, ge=0, description="universe: lowest amount traded on the day, KRW")
    exclude_preferred: bool = Field(default=True, description="universe: leave preferred shares out")
    exclude_spacs: bool = Field(default=True, description="universe: leave special purpose companies out")
    horizons: Annotated[tuple[int, ...], NoDecode] = Field(
        (1, 5, 21, 63, 126), description="horizons of forward returns and labels, trading days, e.g. 5,21,63"
    )
    rank_scope: Literal["universe", "market"] = Field(
        "universe", description="rows among which a day's targets are ranked"
    )
    delisting_return: float = Field(
        -0.3,
        ge=-1,
        le=0,
        description="return between the last trade of a delisted stock and its payout, fraction",
    )
    train_years: int = Field(
        3, ge=0, description="calendar years before the test year to train on; 0: all of them"
    )
    embargo_days: int = Field(
        5, ge=0, description="trading days left out between the last training label and the test year"
    )
    fill: Literal["none", "date_median"] = Field(
        "none", description="missing features: left to LightGBM, or the median of the date"
    )
    first_test_year: int | None = Field(
        None, description="first test year; the earliest possible when not given"
    )
    last_test_year: int | None = Field(
        None, description="last test year; the year of the last row when not given"
    )
    benchmark: str = Field("KOSPI_코스피_200", description="index code that portfolios are compared with")
    risk_free: float = Field(
        0.0, gt=-0.5, lt=1, description="risk-free rate of Sharpe, Sortino and alpha, a year"
    )
    trials: int = Field(
        1,
        ge=1,
        description="strategies tried before this one was chosen, itself included: deflates the Sharpe ratio",
    )
    row_loss: float = Field(
        0.8,
        gt=0,
        le=1,
        description="share of its rows beyond whose loss a table of the database is not taken; 1: always taken",
    )
    preset: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="own presets, [preset.NAME] tables that change or add to the built-in ones",
    )

    provider: Literal["yahoo", "parquet", "demo"] = Field(
        "yahoo", description="portfolio: where daily bars come from; parquet needs bars"
    )
    bars: Path | None = Field(
        None, description="portfolio: parquet file or folder of daily bars; makes the provider parquet"
    )
    yahoo_mirror: str | None = Field(
        None,
        description="portfolio: HTTP server that answers in place of Yahoo's, e.g. http://127.0.0.1:8000",
    )
    groups: dict[str, list[str] | str] = Field(
        default_factory=dict,
        description="portfolio: own groups of tickers, each a list or the path of a .csv or .txt file",
    )
    history_years: int = Field(
        5, ge=1, le=100, description="portfolio: years of prices when no start is given"
    )
    objective: PortfolioObjective = Field(
        "max-sharpe", description="portfolio: what weights are optimal for when no objective is given"
    )
    forecast: PortfolioForecast = Field("ensemble", description="portfolio: method of expected returns")
    covariance: PortfolioCovariance = Field("ledoit-wolf", description="portfolio: method of the covariance")
    min_weight: float = Field(0.0, ge=-1, le=1, description="portfolio: least weight of a ticker, fraction")
    max_weight: float | None = Field(
        None,
        gt=0,
        le=1,
        description="portfolio: most weight of a ticker, fraction; 20%, relaxed where infeasible, when not given",
    )

    redis_url: str | None = Field(
        None,
        description="cache: Redis that processes share, e.g. redis://127.0.0.1:6379/0; the disk if not given",
    )
    cache_memory: int = Field(1_024, ge=1, description="cache: memory of a process for it, MiB")
    cache_disk: int = Field(4_096, ge=1, description="cache: disk for it, MiB")
    serve_host: str = Field(
        "127.0.0.1", description="service: address to listen on; beyond loopback needs a token"
    )
    serve_port: int = Field(8321, ge=0, le=65_535, description="service: port; 0: any that is free")
    serve_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="service: bearer token that every request must carry; none on loopback",
    )
    serve_workers: int = Field(
        default_factory=lambda: (os.cpu_count() or 1) + 1,
        ge=2,
        description="service: processes that compute; one is kept free of long computations",
    )
    serve_rate: float = Field(
        500, gt=0, description="service: requests a second of one client, in the long run"
    )
    serve_body: int = Field(1_024, ge=1, description="service: largest body of a request, KiB")
    serve_tickers: int = Field(2_000, ge=1, description="service: most tickers of one request")
    serve_seconds: float = Field(60, gt=0, description="service: longest time that an answer may take")
    serve_job_seconds: float = Field(600, gt=0, description="service: longest time that a job may take")
    serve_warm: bool = Field(
        default=True,
        description="service: compute common portfolios and popular analyses before they are asked for",
    )

    @field_validator("bars")
    @classmethod
    def _absolute_bars(cls, bars: Path | None) -> Path | None:
        return None if bars is None else bars.expanduser().resolve()

    @field_validator("store")
    @classmethod
    def _absolute_store(cls, store: str | None) -> str | None:
        return store if store is None or "://" in store else str(Path(store).expanduser().resolve())

    @field_validator("horizons", mode="before")
    @classmethod
    def _split_horizons(cls, horizons: object) -> object:
        return horizons.split(",") if isinstance(horizons, str) else horizons

    @field_validator("horizons")
    @classmethod
    def _positive_horizons(cls, horizons: tuple[int, ...]) -> tuple[int, ...]:
        if not horizons or min(horizons) < 1:
            raise ValueError("horizons are trading days: give at least one, each 1 or more")
        return tuple(sorted(set(horizons)))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 pydantic calls by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 pydantic calls by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags first, then variables, then the file beside the database."""
        if cls.toml_file is None:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, cls.toml_file)

    @property
    def store_url(self) -> str:
        """Where parquet files and models are kept."""
        return self.store or str(self.home / "store")

    @property
    def config_file(self) -> Path:
        """Where settings and presets can be written down: beside the database, or in the home if there is none."""
        return (self.home if self.database is None else self.database.parent) / CONFIG_NAME

    @property
    def duckdb_path(self) -> Path:
        """The DuckDB file of result tables."""
        return self.home / RESULTS_NAME

    @property
    def dagster_home(self) -> Path:
        """Folder of the Dagster instance: runs, events, schedules."""
        return self.home / "dagster"


def described(**values: object) -> dict[str, tuple[object, str]]:
    """Return settings by name with what they mean, as reports show them; whole numbers without a fraction."""
    plain = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in values.items()
    }
    return {name: (value, Settings.model_fields[name].description or "") for name, value in plain.items()}


def load_settings(**flags: object) -> Settings:
    """Return the settings in force for ``flags`` (those that are None count as not given).

    Raises
    ------
    SettingsError
        Names each setting whose value cannot work and what was given, or the file that cannot be read.
    """
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    home = Path(
        str(given.get("home") or os.environ.get("FINPIPE_HOME") or Settings.model_fields["home"].default)
    )
    database = given.get("database") or os.environ.get("FINPIPE_DATABASE") or _remembered_database(home)
    if database:
        given["database"] = Path(str(database)).expanduser().resolve()
    given["home"] = home.expanduser().resolve()
    folder: Path = given["database"].parent if database else given["home"]
    try:
        return _with_file(folder)(**given)
    except ValidationError as error:
        problems = [
            f"{_source_name(item['loc'])}: {item['msg']} (given: {item['input']!r})"
            for item in error.errors()
        ]
        raise SettingsError("settings cannot be used:\n  " + "\n  ".join(problems)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{folder / CONFIG_NAME} cannot be read: {error}") from error


def remember_database(settings: Settings) -> None:
    """Write down which database this home works on, so that later commands need not be told."""
    if settings.database is None:
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    record = settings.home / "database.json"
    content = json.dumps({"database": str(settings.database)}, ensure_ascii=False)
    if record.is_file() and record.read_text(encoding="utf-8") == content:
        return
    temporary = record.with_name(f".{record.name}.{os.getpid()}.tmp")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(record)


def _remembered_database(home: Path) -> str | None:
    record = home / "database.json"
    if not record.is_file():
        return None
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["database"])
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{record} does not say which database this home works on: name it with --database PATH"
        ) from error


def _with_file(folder: Path) -> type[Settings]:
    path = folder / CONFIG_NAME
    if not path.is_file():
        return Settings
    return type("Settings", (Settings,), {"toml_file": path, "__module__": Settings.__module__})


def _source_name(location: tuple[int | str, ...]) -> str:
    name = ".".join(str(part) for part in location)
    return f"{name} (flag, FINPIPE_{str(location[0]).upper()} or {CONFIG_NAME})"
