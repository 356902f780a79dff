"""The caches: what each tier holds, and what the service got from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from finpipe.console import terminal
from finpipe.console.numbers import bytes_of, moment
from finpipe.console.terminal import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finpipe.cache.tier import TierState
    from finpipe.serve.cache_state import CacheState

NAMES = {
    "memory": "L1 memory of the service",
    "hot_set": "L1 hot set, mapped",
    "redis": "L2 Redis",
    "disk": "L2 disk",
}


def cache_record(state: CacheState) -> dict[str, Any]:
    """Return where the caches stand, in the form of ``--json``."""
    service = None if state.service is None else {"at": state.service.at, **state.service.status}
    return {
        "wanted": state.wanted,
        "level": state.level,
        "tiers": [asdict(state.hot), asdict(state.shared)],
        "service": service,
    }


def show_cache(state: CacheState) -> None:
    """Print a line for each tier, and sentences about the store in use and the service."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("tier", no_wrap=True)
    for heading in ("entries", "size", "budget", "evicted", "refused", "damaged", "errors"):
        table.add_column(heading, justify="right", no_wrap=True)
    for tier in (*_memory_of(state), asdict(state.hot), asdict(state.shared)):
        table.add_row(
            escape(NAMES.get(tier["name"], tier["name"])),
            _number(tier["entries"]),
            "" if tier["bytes"] is None else bytes_of(tier["bytes"]),
            "" if tier["budget"] is None else bytes_of(tier["budget"]),
            *(_number(tier[name]) for name in ("evictions", "refused", "undecodable", "errors")),
        )
    terminal.out.print(table)
    if state.level != state.wanted:
        say(
            f"{state.wanted} does not answer: values are kept on {state.level}, and {state.wanted} is asked again soon"
        )
    if not state.hot.entries and not state.shared.entries:
        say("nothing is cached yet: `finpipe cache warm --group NAME` fills the caches, and so do requests")
    say(_service_sentence(state))


def show_cleared(gone: Mapping[str, int], kind: str | None) -> None:
    """Say how many entries were removed."""
    told = ", ".join(f"{count:,} of {name.replace('_', ' ')}" for name, count in gone.items())
    say(f"removed {told}" + ("" if kind is None else f" ({escape(kind)} only)"))
    say(
        "a service that runs keeps what is in its own memory until it expires or the service is started again"
    )


def _service_sentence(state: CacheState) -> str:
    told = state.service
    if told is None:
        return "no service has run on this home yet, so there is no hit ratio: `finpipe serve` starts one"
    when = moment(told.at)
    if told.hit_ratio is None:
        return f"the service had not been asked for anything by {when}"
    return (
        f"the service answered {told.hit_ratio:.1%} of {told.requests:,} requests from its caches by {when}"
    )


def _memory_of(state: CacheState) -> list[dict[str, Any]]:
    tiers = [] if state.service is None else state.service.status.get("tiers")
    known: dict[str, Any] = dict.fromkeys(_fields(state.hot))
    found = tiers if isinstance(tiers, list) else []
    return [{**known, **tier} for tier in found if isinstance(tier, dict) and tier.get("name") == "memory"]


def _fields(tier: TierState) -> list[str]:
    return list(asdict(tier))


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
