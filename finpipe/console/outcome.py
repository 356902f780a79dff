"""What a run did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from finpipe.console import terminal
from finpipe.console.terminal import complain, say

if TYPE_CHECKING:
    from finpipe.orchestration.execution import Outcome


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
            terminal.err.print(
                f"[yellow]![/yellow] {escape(node)}: check {check}: {escape(finding)}", soft_wrap=True
            )
    if not outcome.materialized and not outcome.failed:
        say(f"nothing to do: {len(outcome.skipped)} assets are fresh")
        return
    parts = [f"{len(outcome.materialized)} made", f"{len(outcome.skipped)} fresh already"]
    parts += [f"[red]{len(outcome.failed)} failed[/red]"] if outcome.failed else []
    parts += [f"{len(outcome.blocked)} not reached"] if outcome.blocked else []
    say(f"{', '.join(parts)}; peak memory {outcome.peak_rss_mb:,.0f} MB")
