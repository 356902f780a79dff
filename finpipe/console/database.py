"""What is done to the market database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from finpipe.console import terminal

if TYPE_CHECKING:
    from finpipe.market.database_indexes import IndexPlan, Optimization


def show_index_plan(plans: Sequence[IndexPlan]) -> None:
    """Print which indexes would be created, why, and how SQLite answers the queries today."""
    for plan in plans:
        state = plan.obstacle or ("exists already" if plan.exists else f"about {plan.rows:,} rows")
        terminal.out.print(
            f"[bold]{plan.name}[/bold] on {escape(plan.table)} ({', '.join(plan.columns)}): {escape(state)}"
        )
        terminal.out.print(f"  {plan.reason}", markup=False, soft_wrap=True)
        for step in plan.query_plan:
            terminal.out.print(f"  now: {step}", markup=False)


def show_index_result(result: Optimization) -> None:
    """Print what was created, and how the query plans changed."""
    terminal.out.print(str(result), markup=False, soft_wrap=True)
