"""Who goes first: background work waits while a user's request is under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Traffic:
    """Counts the users' requests that are under way, so that the background can wait for quiet."""

    def __init__(self) -> None:
        self._users = 0
        self._changed = Condition()

    @contextmanager
    def user(self) -> Iterator[None]:
        """Mark a user's request as under way."""
        with self._changed:
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                if self._users == 0:
                    self._changed.notify_all()

    @property
    def is_quiet(self) -> bool:
        """Whether no user is waiting."""
        return self._users == 0

    def wait_until_quiet(self, timeout: float) -> bool:
        """Wait until no user is waiting, ``timeout`` seconds at most, and return whether it is quiet."""
        with self._changed:
            return self._changed.wait_for(lambda: self._users == 0, timeout)
