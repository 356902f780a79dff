"""What the command prints: progress while it works, tables when it is done. No work is done here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from finpipe.market.database_indexes import IndexPlan, Optimization
    from finpipe.orchestration.events import Event
    from finpipe.orchestration.execution import Outcome
    from finpipe.orchestration.planner import Status
    from finpipe.orchestration.studies import Study
    from finpipe.settings import Settings

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

SUMMARY = (
    ("mean_rank_ic", "mean_rank_ic", "rank IC", "{:.3f}"),
    ("icir", "icir", "ICIR", "{:.2f}"),
    ("total_return", "annual_return", "annual return", "{:.1%}"),
    ("sharpe", "sharpe", "Sharpe", "{:.2f}"),
    ("max_drawdown", "max_drawdown", "max drawdown", "{:.1%}"),
    ("annual_turnover", "annual_turnover", "turnover a year", "{:.1f}"),
)
"""Headline figures of the summary table: name for a year, name for all years, heading, format."""


def say(text: str) -> None:
    """Print a sentence for the person at the terminal."""
    err.print(text, soft_wrap=True)


def complain(text: str) -> None:
    """Print what went wrong."""
    err.print("[bold red]error:[/bold red] ", end="")
    err.print(text, markup=False, soft_wrap=True)


MEASURES = {
    "annual_return": ("return", "{:.1%}"),
    "mean_rank_ic": ("rank IC", "{:.3f}"),
    "sharpe": ("Sharpe", "{:.2f}"),
}
"""What stresses measure: words, format."""

PICKS_COLUMNS = ("rank", "stock_code", "name", "sector", "close", "weight", "score")
"""Columns of the lists of picks that fit a terminal; ``--out`` writes all."""
PICKS_FORMS = {"close": "{:,}", "weight": "{:.1%}", "score": "{:.3f}"}
"""Formats of their numbers."""
WIDE = 120
"""Characters of a terminal in which the reasons of picks can be read too."""

FEW = 2
"""Reasons in a line of the status; the rest is counted."""

PLAIN = "top_n"
"""The preset that others are compared with."""

EXAMPLE = """
  [preset.v43.rules]            # change a built-in preset
  n = 30

  [preset.mine]                 # or add one that starts from another
  base = "v43"
  horizon = 21
  [preset.mine.ranker]
  search_trials = 30            # search parameters inside training windows
"""


@dataclass
class Watch:
    """Shows the nodes at work, and a line for each that is done."""

    bar: Progress
    running: dict[str, TaskID] = field(default_factory=dict)
    fresh: int = 0

    def tell(self, event: Event) -> None:
        """Take note of an event."""
        if event.kind == "started":
            self.running[event.node] = self.bar.add_task(event.node, total=None)
            return
        if event.kind == "working":
            if event.node in self.running:
                self.bar.update(self.running[event.node], description=f"{event.node}  {event.message}")
            return
        if event.kind == "fresh":
            self.fresh += 1
            return
        if event.node in self.running:
            self.bar.remove_task(self.running.pop(event.node))
        rows = "" if event.rows is None else f"{event.rows:>13,} rows"
        lines = {
            "made": f"[green]✓[/green] {escape(f'{event.node:<44}')}{rows:>19}  {event.seconds:>6.1f} s",
            "failed": f"[red]✗[/red] {escape(event.node)}",
            "blocked": f"[dim]– {escape(event.node)} needs what failed[/dim]",
        }
        self.bar.console.print(lines[event.kind])

    def at(self, text: str) -> None:
        """Show what a computation outside of any node is at."""
        if not self.bar.tasks:
            self.bar.add_task(text, total=None)
        self.bar.update(self.bar.task_ids[0], description=text)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """Show progress on standard error; ``quiet`` keeps the lines but no moving parts."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bar:
        yield Watch(bar)


@dataclass
class Advance:
    """A bar that a long computation moves by name and share done."""

    bar: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def advance(self, name: str, share: float) -> None:
        """Show that ``share`` (0 to 1) of ``name`` is done."""
        if name not in self.tasks:
            self.tasks[name] = self.bar.add_task(name, total=1.0)
        self.bar.update(self.tasks[name], completed=share)


@contextmanager
def progress() -> Iterator[Advance]:
    """Show bars on standard error while something long goes on."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        yield Advance(bar)


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """Return what a run did, in the form of ``--json``."""
    return {
        "materialized": outcome.materialized,
        "skipped": outcome.skipped,
        "failed": outcome.failed,
        "blocked": outcome.blocked,
        "failed_checks": outcome.failed_checks,
        "seconds": outcome.seconds,
        "peak_rss_mb": round(outcome.peak_rss_mb, 1),
    }


def show_outcome(outcome: Outcome, *, quiet: bool) -> None:
    """Say in a line what a run did, and why what failed did."""
    if outcome.failed:
        for message in dict.fromkeys(outcome.failed.values()):
            nodes = ", ".join(node for node, found in outcome.failed.items() if found == message)
            complain(f"{nodes}: {message}")
    if quiet:
        return
    for node, findings in outcome.failed_checks.items():
        for check, finding in findings.items():
            err.print(f"[yellow]![/yellow] {escape(node)}: check {check}: {escape(finding)}", soft_wrap=True)
    if not outcome.materialized and not outcome.failed:
        say(f"nothing to do: {len(outcome.skipped)} assets are fresh")
        return
    parts = [f"{len(outcome.materialized)} made", f"{len(outcome.skipped)} fresh already"]
    parts += [f"[red]{len(outcome.failed)} failed[/red]"] if outcome.failed else []
    parts += [f"{len(outcome.blocked)} not reached"] if outcome.blocked else []
    say(f"{', '.join(parts)}; peak memory {outcome.peak_rss_mb:,.0f} MB")


def status_records(statuses: Sequence[Status]) -> list[dict[str, Any]]:
    """Return the status of every node, in the form of ``--json``."""
    return [
        {
            "asset": key,
            "partition": status.partition,
            "state": status.state,
            "reasons": list(status.reasons),
            "failed_checks": dict(status.failed_checks(key)),
            "rows": _meta(status, key, "dagster/row_count"),
            "size": None
            if status.stage.outputs[key].storage == "duckdb"
            else _meta(status, key, "finpipe/size"),
            "seconds": _meta(status, key, "finpipe/seconds"),
            "materialized_at": record.timestamp if (record := status.records[key]) else None,
            "path": _meta(status, key, "path"),
        }
        for status in statuses
        for key in status.stage.outputs
    ]


def show_status(statuses: Sequence[Status], on_request: Sequence[str]) -> None:
    """Print a table of every asset; partitions of one asset and state share a line.

    Assets ``on_request`` are those that nobody has asked for yet.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("asset", "state", "why"):
        table.add_column(heading, overflow="fold")
    for heading in ("rows", "size", "seconds", "when"):
        table.add_column(heading, justify="right")
    records = status_records(statuses)
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for record in records:
        checks = ", ".join(record["failed_checks"])
        why = "; ".join([*_few(record["reasons"]), *([f"failed check(s) {checks}"] if checks else [])])
        groups.setdefault((record["asset"], record["state"], why), []).append(record)
    colours = {"fresh": "green", "stale": "yellow", "missing": "red"}
    for (asset, state, why), found in groups.items():
        partitions = [record["partition"] for record in found if record["partition"]]
        name = asset if not partitions else escape(f"{asset}[{_span(partitions)}]")
        table.add_row(
            name,
            f"[{colours[state]}]{state}[/]",
            "" if state == "missing" and why == "never made" else escape(why),
            _total(found, "rows", "{:,}"),
            _size(found),
            _total(found, "seconds", "{:.1f}"),
            _when(found),
        )
    out.print(table)
    if on_request:
        names = " ".join(f"--only {key}" for key in on_request)
        say(f"made on request only: finpipe run {names}")


def show_reasons(statuses: Sequence[Status]) -> None:
    """Print why the given nodes stand as they do."""
    for status in statuses:
        name = status.names[0]
        out.print(f"{name} is {status.state}", markup=False)
        for reason in status.reasons:
            out.print(f"  {reason}", markup=False)
        for key in status.stage.outputs:
            for check, finding in status.failed_checks(key).items():
                out.print(f"  check {check} failed: {finding}", markup=False)


def show_performance(figures: pl.DataFrame, variant: str) -> None:
    """Print the headline figures of a study, one row per year and one for all."""
    table = Table(title=f"study {variant}", box=None, header_style="bold", title_justify="left")
    table.add_column("")
    for _, _, heading, _ in SUMMARY:
        table.add_column(heading, justify="right")
    values = {(row["figure"], row["period"]): row["value"] for row in figures.iter_rows(named=True)}
    periods = [*sorted({period for _, period in values if period.isdigit()}), "all"]
    for period in periods:
        cells = [
            _number(values.get((overall if period == "all" else yearly, period)), form)
            for yearly, overall, _, form in SUMMARY
        ]
        table.add_row(period, *cells, style="bold" if period == "all" else "")
    out.print(table)


def show_picks(picks: pl.DataFrame) -> None:
    """Print the latest date's lists, the stocks to buy first."""
    import polars as pl

    if picks.is_empty():
        say("no picks: the universe of the latest date is empty")
        return
    day, names = picks["date"][0], picks["list"].cast(pl.String)
    if "buy" not in names:
        say(f"{day}: nothing to buy, for the rules of the study keep all money in cash")
    for name in names.unique(maintain_order=True):
        shown = [part for part in PICKS_COLUMNS if name == "buy" or part != "weight"]
        shown += ["reasons"] if name == "buy" and out.width >= WIDE else []
        found = picks.filter(names == name).select(shown)
        _show_frame(found, f"{name.replace('_', ' ')}, as of the close of {day}", PICKS_FORMS)


def safety_record(verdicts: pl.DataFrame, variant: str) -> dict[str, Any]:
    """Return the verdicts of the stress battery, in the form of ``--json``."""
    import polars as pl

    failed = verdicts.filter(pl.col("verdict") == "fail")["stress"].unique(maintain_order=True).to_list()
    return {"study": variant, "failed": failed, "verdicts": verdicts.to_dicts()}


def show_safety(verdicts: pl.DataFrame, variant: str) -> None:
    """Print the verdicts of the stress battery, then what each stress is for."""
    import polars as pl

    table = Table(
        title=f"study {variant}: stress battery", box=None, header_style="bold", title_justify="left"
    )
    table.add_column("stress", no_wrap=True)
    table.add_column("case", overflow="fold")
    for heading in ("measured", "unchanged", "limit"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict")
    colours = {"pass": "green", "fail": "bold red", "shown": "dim", "not run": "yellow"}
    reasons: dict[str, tuple[str, str]] = {}
    for row in verdicts.iter_rows(named=True):
        name, form = MEASURES[row["measure"]]
        is_first = row["stress"] not in reasons
        reasons.setdefault(row["stress"], (row["rule"], row["why"]))
        table.add_row(
            row["stress"] if is_first else "",
            escape(row["case"]),
            f"[dim]{name}[/dim] {_number(row['value'], form)}",
            *(_number(row[column], form) for column in ("base", "threshold")),
            f"[{colours[row['verdict']]}]{row['verdict']}[/]",
        )
    out.print(table)
    out.print()
    for stress, (rule, why) in reasons.items():
        found = verdicts.filter(pl.col("stress") == stress)["verdict"].to_list()
        verdict = next((one for one in ("fail", "pass", "shown") if one in found), "not run")
        out.print(
            f"[{colours[verdict]}]{verdict:<7}[/] [bold]{stress}[/bold]  {escape(rule)} [dim]{escape(why)}[/dim]"
        )


def show_presets(presets: Mapping[str, Mapping[str, Any]], config_file: Path | None) -> None:
    """Print presets: the plain one in full, of the others what they do differently, and how to change them."""
    plain = presets[PLAIN]
    for name in (PLAIN, *(name for name in presets if name != PLAIN)):
        preset = presets[name]
        out.print(
            f"[bold]{escape(name)}[/bold]  {escape(str(preset.get('description', '')))}", soft_wrap=True
        )
        out.print(
            f"  horizon {preset['horizon']} days, {_round_trip(preset):.2%} for buying and selling again"
        )
        for part in ("ranker", "rules"):
            given, usual = preset.get(part, {}), {} if name == PLAIN else plain.get(part, {})
            changed = {key: value for key, value in given.items() if usual.get(key, _NOTHING) != value}
            if changed:
                values = ", ".join(f"{key} = {_toml(value)}" for key, value in changed.items())
                out.print(f"  {part}: {values}", markup=False, soft_wrap=True)
    where = "finpipe.toml beside the database" if config_file is None else str(config_file)
    out.print()
    out.print(f"{PLAIN} is shown in full, of the others what differs from it.")
    out.print(f"To change one or add your own, write to {where}, e.g.:", markup=False, soft_wrap=True)
    out.print(EXAMPLE, markup=False)
    out.print("`finpipe presets NAME` shows every parameter and what it means.")


def show_study(study: Study) -> None:
    """Print every parameter of a study: its value, and what it means."""
    from finpipe.backtest.report.parameters import documented

    out.print(f"[bold]{escape(study.preset)}[/bold]  {escape(study.description)}", soft_wrap=True)
    for part, settings in (("ranker", study.ranker), ("rules", study.rules)):
        table = Table(
            title=f"[preset.{study.preset}.{part}]".replace("[", r"\["), box=None, title_justify="left"
        )
        table.add_column("parameter", no_wrap=True)
        table.add_column("value", overflow="fold")
        table.add_column("meaning", overflow="fold", style="dim")
        for name, (value, meaning) in documented(settings).items():
            table.add_row(name, escape(_toml(value)), escape(meaning or ""))
        out.print(table)


def show_settings(settings: Settings) -> None:
    """Print every setting with its value and meaning."""
    table = Table(box=None, header_style="bold")
    for heading in ("setting", "variable", "value", "meaning"):
        table.add_column(heading, overflow="fold")
    for name, spec in type(settings).model_fields.items():
        table.add_row(name, f"FINPIPE_{name.upper()}", str(getattr(settings, name)), spec.description or "")
    out.print(table)
    say(
        "a setting is looked up in this order: flags, variables, finpipe.toml beside the database, the default"
    )


def show_markdown(text: str) -> None:
    """Print a Markdown document laid out for the terminal."""
    from rich.markdown import Markdown

    out.print(Markdown(text))


def show_index_plan(plans: Sequence[IndexPlan]) -> None:
    """Print which indexes would be created, why, and how SQLite answers the queries today."""
    for plan in plans:
        state = plan.obstacle or ("exists already" if plan.exists else f"about {plan.rows:,} rows")
        out.print(
            f"[bold]{plan.name}[/bold] on {escape(plan.table)} ({', '.join(plan.columns)}): {escape(state)}"
        )
        out.print(f"  {plan.reason}", markup=False, soft_wrap=True)
        for step in plan.query_plan:
            out.print(f"  now: {step}", markup=False)


def show_index_result(result: Optimization) -> None:
    """Print what was created, and how the query plans changed."""
    out.print(str(result), markup=False, soft_wrap=True)


def _show_frame(frame: pl.DataFrame, title: str, forms: Mapping[str, str]) -> None:
    table = Table(title=title, box=None, header_style="bold", title_justify="left")
    for name, dtype in frame.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows(named=True):
        cells = ["" if value is None else forms.get(name, "{}").format(value) for name, value in row.items()]
        table.add_row(*map(escape, cells))
    out.print(table)


_NOTHING = object()


def _round_trip(preset: Mapping[str, Any]) -> float:
    from finpipe.backtest.rules import Rules

    costs = {
        spec.name: preset.get("rules", {}).get(spec.name, spec.default)
        for spec in fields(Rules)
        if spec.name in {"commission", "slippage", "sale_tax"}
    }
    return float(2 * (costs["commission"] + costs["slippage"]) + costs["sale_tax"])


def _toml(value: object) -> str:
    """Return a value as it is written in finpipe.toml; none is to leave the parameter out."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
            if value
            else "{}"
        )
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _few(reasons: Sequence[str]) -> list[str]:
    more = len(reasons) - FEW
    return [*reasons[:FEW], f"{more} more (see --why)"] if more > 1 else list(reasons)


def _meta(status: Status, key: str, name: str) -> Any:  # noqa: ANN401 metadata of any kind
    record = status.records[key]
    return None if record is None else record.metadata.get(name)


def _span(partitions: Sequence[str]) -> str:
    return partitions[0] if len(partitions) == 1 else f"{len(partitions)} partitions"


def _total(records: Sequence[Mapping[str, Any]], name: str, form: str) -> str:
    values = [record[name] for record in records if record[name] is not None]
    return form.format(sum(values)) if values else ""


def _size(records: Sequence[Mapping[str, Any]]) -> str:
    size = sum(
        record["size"] for record in records if record["size"] is not None and record["path"] is not None
    )
    if not size:
        return ""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _when(records: Sequence[Mapping[str, Any]]) -> str:
    import datetime as dt

    times = [record["materialized_at"] for record in records if record["materialized_at"]]
    return f"{dt.datetime.fromtimestamp(max(times), tz=dt.UTC).astimezone():%Y-%m-%d %H:%M}" if times else ""


def _number(value: float | None, form: str) -> str:
    return "–" if value is None or value != value else form.format(value)  # noqa: PLR0124 NaN
