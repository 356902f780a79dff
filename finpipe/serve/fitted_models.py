"""Fitted models of Prophet in the shared cache, where workers and the assets find each other's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from finpipe.cache.entry import NEVER, Entry
from finpipe.cache.keys import request_key
from finpipe.cache.shared import SharedCache
from finpipe.portfolio.prophet_forecast import models_kept_in
from finpipe.serve.caches import shared_cache
from finpipe.settings import Settings

KIND = "prophet-model"
"""Kind of these entries."""


class FittedModels:
    """Models by what they were fitted to. They never expire: what a key stands for does not change.

    Parameters
    ----------
    settings
        Name the home, Redis and the budget of the disk; nothing is opened before the first question.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _shared(self) -> SharedCache:
        return shared_cache(self._settings)

    def find(self, key: str) -> str | None:
        """Return the JSON text kept under ``key``, None if there is none."""
        entry = self._shared.get(_cache_key(key))
        if entry is None:
            return None
        return text if isinstance(text := entry.value, str) else ""

    def keep(self, key: str, model: str) -> None:
        """Keep the JSON text of a model."""
        self._shared.put(_cache_key(key), Entry.of(model, time.time(), NEVER))

    def forget(self, key: str) -> None:
        """Forget what is kept under ``key``."""
        self._shared.delete(_cache_key(key))

    def close(self) -> None:
        """Let go of connections and files."""
        if "_shared" in self.__dict__:
            self._shared.close()


@contextmanager
def models_of(settings: Settings) -> Iterator[None]:
    """Let the forecasts within the block find and keep their models in the shared cache of a home."""
    store = FittedModels(settings)
    try:
        with models_kept_in(store):
            yield
    finally:
        store.close()


def _cache_key(key: str) -> str:
    return request_key(KIND, {"model": key})
