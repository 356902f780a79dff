"""Verbs that make assets: the demo, runs, backfills, and what is shown of a study made fresh first."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from finpipe.cli.options import (
    Database,
    Home,
    Horizon,
    Json,
    Only,
    Preset,
    TickerGroups,
    Verify,
    Years,
    open_workspace,
    print_json,
    test_years,
)
from finpipe.settings import Settings, load_settings


def demo(
    home: Home = None,
    stocks: Annotated[int, typer.Option(help="Stocks of the demo market.", min=20)] = 300,
    years: Annotated[int, typer.Option(help="Years of the demo market.", min=1)] = 8,
    preset: Preset = "top_n",
    horizon: Horizon = None,
) -> None:
    """Write a synthetic market, run the whole graph on it, optimise a portfolio, and show what came out.

    [dim]Example:[/dim]  finpipe demo --home data
    """
    from finpipe import console
    from finpipe.market.demo import write_demo_market
    from finpipe.market.tickers import DEMO_GROUP

    settings = load_settings(home=home)
    database = settings.home / "demo" / "krx_stock_data.db"
    wanted = {"stocks": stocks, "years": years}
    if not _is_made(database, wanted):
        with console.progress() as bar:
            summary = write_demo_market(
                database, stocks=stocks, years=years, progress=bar.advance, overwrite=True
            )
        rows = summary.rows["daily_prices"]
        console.say(f"demo market: {rows:,} daily prices of {summary.stocks:,} stocks in {database}")
        database.with_suffix(".json").write_text(json.dumps(wanted), encoding="utf-8")
    settings = load_settings(home=home, database=database)
    make(settings, [], preset, horizon, None, as_json=False)
    make(settings, [], preset, horizon, None, groups=[DEMO_GROUP], as_json=False)
    console.say(f"service and page on these data: finpipe serve --home {settings.home} --provider demo")


def run(
    database: Database = None,
    home: Home = None,
    only: Only = None,
    years: Years = None,
    preset: Preset = "top_n",
    horizon: Horizon = None,
    group: TickerGroups = None,
    verify: Verify = False,
    as_json: Json = False,
) -> None:
    """Make what is missing or stale, and nothing else.

    With --group the prices and the portfolio of a ticker group alone; a group is kept up to date from then on.

    [dim]Examples:[/dim]
      finpipe run --database krx_stock_data.db
      finpipe run --preset v43 --horizon 63 --years 2018-2024
      finpipe run --only krx/training_panel --json
      finpipe run --group sp500
      finpipe run --only portfolio/optimal_weights --group demo
    """
    settings = load_settings(home=home, database=database)
    make(
        settings,
        only or [],
        preset,
        horizon,
        test_years(years),
        groups=group,
        as_json=as_json,
        verify=verify,
    )


def backfill(
    years: Annotated[str, typer.Option(help="Test years, e.g. 2015-2020.")],
    home: Home = None,
    database: Database = None,
    preset: Preset = "top_n",
    horizon: Horizon = None,
    force: Annotated[bool, typer.Option(help="Train again the years that are done.")] = False,
    as_json: Json = False,
) -> None:
    """Train and predict test years side by side; years that are done are skipped.

    [dim]Example:[/dim]  finpipe backfill --years 2015-2020 --preset top_n
    """
    settings = load_settings(home=home, database=database)
    forced = ("yearly_ranker", "yearly_predictions") if force else ()
    make(
        settings,
        ["krx/yearly_predictions"],
        preset,
        horizon,
        test_years(years),
        as_json=as_json,
        force=forced,
    )


def picks(
    home: Home = None,
    database: Database = None,
    preset: Preset = "top_n",
    horizon: Horizon = None,
    out: Annotated[Path | None, typer.Option(help="Also write the list to this CSV file.")] = None,
) -> None:
    """Show the latest date's ranked list with weights, made fresh first.

    [dim]Example:[/dim]  finpipe picks --preset top_n --out picks.csv
    """
    from finpipe import console

    settings = load_settings(home=home, database=database)
    variant = make(settings, ["krx/picks"], preset, horizon, None, as_json=False, summary=False)
    with open_workspace(settings) as workspace:
        found = workspace.frame("krx/picks", variant)
        console.show_picks(found)
        if out is not None:
            workspace.export("krx/picks", variant, out)
            console.say(f"written to {out}")


def safety(
    home: Home = None,
    database: Database = None,
    preset: Preset = "top_n",
    horizon: Horizon = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Run only this stress; repeatable.", show_default="all")
    ] = None,
    years: Years = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a stress fails.")] = False,
    as_json: Json = False,
) -> None:
    """Stress a study: rerun it with worse inputs and show what passes, what fails and why it matters.

    Models are trained again several times. The whole battery is kept as krx/safety; a part of it
    (--only, --years) is shown, but not kept.

    [dim]Examples:[/dim]
      finpipe safety --preset top_n
      finpipe safety --only cost_sweep --only execution_delay
    """
    from finpipe import console
    from finpipe.backtest.safety import chosen
    from finpipe.orchestration.safety import Materials

    chosen(only)
    settings = load_settings(home=home, database=database)
    is_part = bool(only) or years is not None
    wanted = Materials.assets() if is_part else ["krx/safety"]
    variant = make(settings, wanted, preset, horizon, test_years(years), as_json=False, quiet=as_json)
    with open_workspace(settings) as workspace:
        if is_part:
            with console.watching(quiet=as_json) as watch:
                verdicts = workspace.stress(variant, only=only, years=test_years(years), progress=watch.at)
        else:
            verdicts = workspace.frame("krx/safety", variant)
    if as_json:
        print_json(console.safety_record(verdicts, variant))
    else:
        console.show_safety(verdicts, variant)
    if strict and "fail" in verdicts["verdict"].to_list():
        sys.exit(1)


def make(
    settings: Settings,
    only: list[str],
    preset: str,
    horizon: int | None,
    years: list[int] | None,
    *,
    as_json: bool,
    groups: list[str] | None = None,
    force: tuple[str, ...] = (),
    summary: bool = True,
    quiet: bool = False,
    verify: bool = False,
) -> str:
    """Make assets of a study fresh and say what was done; return the name of the study.

    Exits with 1 if something failed.
    """
    from finpipe import console

    with open_workspace(settings) as workspace, console.watching(quiet=as_json or quiet) as watch:
        outcome = workspace.run(
            only,
            preset=preset,
            horizon=horizon,
            years=years,
            groups=groups,
            force=force,
            verify=verify,
            tell=watch.tell,
            waiting=console.say,
        )
        variant = workspace.variant(preset, horizon)
        made_all = not only and not outcome.failed
        made_report = made_all and groups is None and settings.database is not None
        portfolios = [
            (workspace.portfolio(name), workspace.portfolio_report_path(name))
            for name in groups or ()
            if made_all and summary and not as_json
        ]
        performance = workspace.frame("krx/performance", variant) if made_report and summary else None
        page = workspace.report_path(variant) if made_report else None
    if performance is not None and not as_json:
        console.show_performance(performance, variant)
        console.say(f"report: {page}")
    for found, path in portfolios:
        console.show_portfolio(found)
        console.say(f"report: {path}")
    console.show_outcome(outcome, quiet=as_json or quiet)
    if as_json:
        print_json(console.outcome_record(outcome))
    if outcome.failed:
        sys.exit(1)
    return variant


def _is_made(database: Path, wanted: dict[str, int]) -> bool:
    record = database.with_suffix(".json")
    return (
        database.is_file() and record.is_file() and json.loads(record.read_text(encoding="utf-8")) == wanted
    )
