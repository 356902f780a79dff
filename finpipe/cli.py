"""The ``finpipe`` command: thin verbs over the workspace. What they print is laid out in ``console``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finpipe.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from finpipe.orchestration.workspace import Workspace

app = typer.Typer(
    name="finpipe",
    help="From a market database to ranked stocks, honest backtests and optimised portfolios.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
database_app = typer.Typer(help="Look after the market database.", no_args_is_help=True)
app.add_typer(database_app, name="database")

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

Home = Annotated[
    Path | None, typer.Option(help="Folder of everything that finpipe writes.", show_default="data")
]
Database = Annotated[Path | None, typer.Option(help="The SQLite market database; remembered by the home.")]
Only = Annotated[list[str] | None, typer.Option(help="Make only this asset and what it needs; repeatable.")]
Years = Annotated[
    str | None, typer.Option(help="Test years, e.g. 2018-2024 or 2020,2022.", show_default="all")
]
Preset = Annotated[str, typer.Option(help="The study's preset; `finpipe presets` lists them.")]
Horizon = Annotated[
    int | None, typer.Option(help="Holding period, trading days.", show_default="the preset's")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


@app.command()
def demo(
    home: Home = None,
    stocks: Annotated[int, typer.Option(help="Stocks of the demo market.", min=20)] = 300,
    years: Annotated[int, typer.Option(help="Years of the demo market.", min=1)] = 8,
    preset: Preset = "top_n",
    horizon: Horizon = None,
) -> None:
    """Write a synthetic market, run the whole graph on it and show what came out.

    [dim]Example:[/dim]  finpipe demo --home data
    """
    from finpipe import console
    from finpipe.market.demo import write_demo_market

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
    _run(load_settings(home=home, database=database), [], preset, horizon, None, as_json=False)


@app.command()
def run(
    database: Database = None,
    home: Home = None,
    only: Only = None,
    years: Years = None,
    preset: Preset = "top_n",
    horizon: Horizon = None,
    as_json: Json = False,
) -> None:
    """Make what is missing or stale, and nothing else.

    [dim]Examples:[/dim]
      finpipe run --database krx_stock_data.db
      finpipe run --preset v43 --horizon 63 --years 2018-2024
      finpipe run --only krx/training_panel --json
    """
    settings = load_settings(home=home, database=database)
    _run(settings, only or [], preset, horizon, _years(years), as_json=as_json)


@app.command()
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
    _run(settings, ["krx/yearly_predictions"], preset, horizon, _years(years), as_json=as_json, force=forced)


@app.command()
def status(
    home: Home = None,
    database: Database = None,
    why: Annotated[str | None, typer.Option(help="Explain how this asset stands.")] = None,
    as_json: Json = False,
) -> None:
    """Show every asset: fresh, stale (and why) or missing, its rows, size, age and how long it took.

    [dim]Examples:[/dim]
      finpipe status
      finpipe status --why krx/training_panel
    """
    from finpipe import console

    with _open(load_settings(home=home, database=database)) as workspace:
        found = workspace.statuses()
        if why is not None:
            workspace.graph.stage(why)
            found = [item for item in found if why in item.stage.outputs]
        if as_json:
            _print_json(console.status_records(found))
        elif why is not None:
            console.show_reasons(found)
        else:
            made = {key for status in found for key in status.stage.outputs}
            requested = [key for key in workspace.graph.by_key if key not in workspace.graph.usual_keys]
            console.show_status(found, [key for key in requested if key not in made])


@app.command()
def export(
    asset: Annotated[str, typer.Argument(help="Asset key, e.g. krx/technical_features.")],
    out: Annotated[
        Path, typer.Option(help="File to write: .parquet, .csv, .arrow; reports .html, models .txt.")
    ],
    partition: Annotated[str | None, typer.Option(help="One partition, e.g. '2018|top_n-h21'.")] = None,
    home: Home = None,
) -> None:
    """Write any asset to a file, in the format of the file's ending.

    [dim]Examples:[/dim]
      finpipe export krx/training_panel --out panel.parquet
      finpipe export krx/picks --partition top_n-h21 --out picks.csv
    """
    from finpipe import console

    with _open(load_settings(home=home)) as workspace:
        rows = workspace.export(asset, partition, out)
    console.say(f"{asset}: {rows:,} row(s) written to {out}")


@app.command()
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
    variant = _run(settings, ["krx/picks"], preset, horizon, None, as_json=False, summary=False)
    with _open(settings) as workspace:
        found = workspace.frame("krx/picks", variant)
        console.show_picks(found)
        if out is not None:
            workspace.export("krx/picks", variant, out)
            console.say(f"written to {out}")


@app.command()
def report(
    home: Home = None,
    preset: Preset = "top_n",
    horizon: Horizon = None,
    out: Annotated[Path | None, typer.Option(help="Also copy the page to this file.")] = None,
    browse: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Name the latest report of a study, copy it or open it.

    [dim]Example:[/dim]  finpipe report --open
    """
    from finpipe import console

    settings = load_settings(home=home)
    with _open(settings) as workspace:
        variant = workspace.variant(preset, horizon)
        workspace.frame("krx/performance", variant)
        page = workspace.report_path(variant)
        if out is not None:
            workspace.export("krx/performance_report", variant, out)
    console.say(f"report: {out or page}")
    if browse:
        typer.launch(str(out or page))


@app.command()
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
    variant = _run(settings, wanted, preset, horizon, _years(years), as_json=False, quiet=as_json)
    with _open(settings) as workspace:
        if is_part:
            with console.watching(quiet=as_json) as watch:
                verdicts = workspace.stress(variant, only=only, years=_years(years), progress=watch.at)
        else:
            verdicts = workspace.frame("krx/safety", variant)
    if as_json:
        _print_json(console.safety_record(verdicts, variant))
    else:
        console.show_safety(verdicts, variant)
    if strict and "fail" in verdicts["verdict"].to_list():
        sys.exit(1)


@app.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Show all parameters of this preset.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Show every preset and its parameters, and how to change them or add your own in finpipe.toml.

    [dim]Examples:[/dim]
      finpipe presets
      finpipe presets v43
    """
    from finpipe import console
    from finpipe.orchestration import studies

    settings = load_settings(home=home, database=database)
    found = studies.presets(settings.preset)
    if name is None:
        if as_json:
            _print_json(found)
        else:
            console.show_presets(found, settings.config_file)
        return
    chosen = studies.study(
        studies.variant_name(name, None, settings.preset, settings.horizons),
        settings.preset,
        settings.horizons,
        train_years=settings.train_years,
        delisting_return=settings.delisting_return,
    )
    if as_json:
        _print_json(chosen.to_dict())
    else:
        console.show_study(chosen)


@app.command()
def features(
    out: Annotated[Path | None, typer.Option(help="Markdown file to write instead of the terminal.")] = None,
) -> None:
    """Show every feature: formula, window, unit, range, what a null means, and its source.

    [dim]Example:[/dim]  finpipe features --out docs/features.md
    """
    from finpipe import console
    from finpipe.features.catalogue import markdown

    if out is None:
        console.show_markdown(markdown())
    else:
        out.write_text(markdown(), encoding="utf-8")
        console.say(f"feature catalogue written to {out}")


@app.command()
def settings(home: Home = None, database: Database = None) -> None:
    """Show every setting: its value, what it means, and how to change it."""
    from finpipe import console

    console.show_settings(load_settings(home=home, database=database))


@app.command()
def graph(out: Annotated[Path, typer.Option(help="SVG file to write.")] = Path("asset_graph.svg")) -> None:
    """Draw the asset graph."""
    from finpipe import console
    from finpipe.orchestration.graph import graph as asset_graph
    from finpipe.orchestration.picture import asset_graph_svg

    out.write_text(asset_graph_svg(asset_graph()), encoding="utf-8")
    console.say(f"asset graph drawn in {out}")


@app.command()
def ui(
    home: Home = None,
    database: Database = None,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000,
) -> None:
    """Open the Dagster UI on this home: the same runs, assets and partitions that the command sees.

    [dim]Example:[/dim]  finpipe ui --home data
    """
    from finpipe.orchestration.home import serve_ui

    sys.exit(serve_ui(load_settings(home=home, database=database), port))


@database_app.command("demo")
def write_demo(
    out: Annotated[Path, typer.Option(help="SQLite file to write.")],
    stocks: Annotated[int, typer.Option(help="Stocks listed on an average day.", min=20)] = 300,
    days: Annotated[int | None, typer.Option(help="Trading days; eight years when not given.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another market.")] = 7,
) -> None:
    """Write a synthetic market and nothing else, for trials and benchmarks.

    [dim]Example:[/dim]  finpipe database demo --out market.db --stocks 2500 --days 3500
    """
    from finpipe import console
    from finpipe.market.demo import write_demo_market

    with console.progress() as bar:
        made = write_demo_market(
            out, stocks=stocks, days=days, seed=seed, progress=bar.advance, overwrite=True
        )
    console.say(f"{made.rows['daily_prices']:,} daily prices of {made.stocks:,} stocks written to {out}")


@database_app.command()
def optimize(
    database: Annotated[Path, typer.Option(help="The SQLite market database.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Create covering indexes and run ANALYZE; the only thing that ever writes to your database.

    [dim]Example:[/dim]  finpipe database optimize --database krx_stock_data.db
    """
    from finpipe import console
    from finpipe.market.database_indexes import optimize as create_indexes
    from finpipe.market.database_indexes import plan

    console.show_index_plan(plan(database))
    if not yes and not typer.confirm(f"Create these indexes in {database}?"):
        raise typer.Exit(1)
    console.show_index_result(create_indexes(database))


def main() -> None:
    """Run the command; errors that a user can mend are sentences, not tracebacks."""
    from finpipe import console

    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            console.say("interrupted; what was made is kept, and the same command goes on from there")
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith("finpipe."):
            raise
        console.complain(str(error))
        sys.exit(1)


def _run(
    settings: Settings,
    only: list[str],
    preset: str,
    horizon: int | None,
    years: list[int] | None,
    *,
    as_json: bool,
    force: tuple[str, ...] = (),
    summary: bool = True,
    quiet: bool = False,
) -> str:
    from finpipe import console

    with _open(settings) as workspace, console.watching(quiet=as_json or quiet) as watch:
        outcome = workspace.run(
            only,
            preset=preset,
            horizon=horizon,
            years=years,
            force=force,
            tell=watch.tell,
            waiting=console.say,
        )
        variant = workspace.variant(preset, horizon)
        made_report = not only and not outcome.failed
        performance = workspace.frame("krx/performance", variant) if made_report and summary else None
        page = workspace.report_path(variant) if made_report else None
    if performance is not None and not as_json:
        console.show_performance(performance, variant)
        console.say(f"report: {page}")
    console.show_outcome(outcome, quiet=as_json or quiet)
    if as_json:
        _print_json(console.outcome_record(outcome))
    if outcome.failed:
        sys.exit(1)
    return variant


def _open(settings: Settings) -> Workspace:
    from finpipe.orchestration.workspace import Workspace

    return Workspace(settings)


def _years(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        years: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            years.extend(range(int(first), int(last or first) + 1))
    except ValueError as error:
        raise SettingsError(f"--years {text!r} is not of the form 2018-2024 or 2020,2022") from error
    if not years:
        raise SettingsError(f"--years {text!r} is empty: the first year is after the last")
    return sorted(set(years))


def _is_made(database: Path, wanted: dict[str, int]) -> bool:
    record = database.with_suffix(".json")
    return (
        database.is_file() and record.is_file() and json.loads(record.read_text(encoding="utf-8")) == wanted
    )


def _print_json(value: Any) -> None:  # noqa: ANN401 whatever JSON can hold
    print(json.dumps(value, ensure_ascii=False), flush=True)
