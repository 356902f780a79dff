"""What the command prints: progress while it works, tables when it is done. No work is done here."""

from finpipe.console.bars import Watch, progress, watching
from finpipe.console.cache import cache_record, show_cache, show_cleared
from finpipe.console.database import show_index_plan, show_index_result
from finpipe.console.numbers import bytes_of
from finpipe.console.outcome import outcome_record, show_outcome
from finpipe.console.parameters import show_markdown, show_presets, show_settings, show_study
from finpipe.console.portfolio import (
    history_records,
    show_analysis,
    show_benchmark,
    show_frontier,
    show_hedge,
    show_histories,
    show_portfolio,
    show_saved,
    show_update,
    update_record,
)
from finpipe.console.results import safety_record, show_performance, show_picks, show_safety
from finpipe.console.status import show_reasons, show_status, status_records
from finpipe.console.studies import removal_record, show_removal, show_studies, study_records
from finpipe.console.terminal import complain, say

__all__ = [
    "Watch",
    "bytes_of",
    "cache_record",
    "complain",
    "history_records",
    "outcome_record",
    "progress",
    "removal_record",
    "safety_record",
    "say",
    "show_analysis",
    "show_benchmark",
    "show_cache",
    "show_cleared",
    "show_frontier",
    "show_hedge",
    "show_histories",
    "show_index_plan",
    "show_index_result",
    "show_markdown",
    "show_outcome",
    "show_performance",
    "show_picks",
    "show_portfolio",
    "show_presets",
    "show_reasons",
    "show_removal",
    "show_safety",
    "show_saved",
    "show_settings",
    "show_status",
    "show_studies",
    "show_study",
    "show_update",
    "status_records",
    "study_records",
    "update_record",
    "watching",
]
