"""What the endpoints stand on: caches, workers, jobs and the home, opened and closed together."""

from __future__ import annotations

from finpipe.settings import Settings


class Service:
    """The service of one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def start(self) -> None:
        """Open what answers need."""

    async def stop(self) -> None:
        """Close it."""
