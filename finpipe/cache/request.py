"""A question to the cache, what a source says to it, and the answer that the caller gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from finpipe.cache.entry import Entry, Expiry, UncacheableError, Value, never_expires


class UnknownError(LookupError):
    """What was asked for does not exist, as a source that must know says; carries its reason."""


@dataclass(frozen=True, slots=True)
class Request:
    """Something asked for.

    Attributes
    ----------
    key
        Canonical, see ``request_key``.
    subject
        What sources need to find it (a ticker and a range, a function); the cache does not look at it.
    expiry
        Policy: until when a value may be used that was true at the instant given.
    """

    key: str
    subject: object = None
    expiry: Callable[[float], Expiry] = never_expires


@dataclass(frozen=True, slots=True)
class Loaded:
    """A value that a source has; ``as_of`` is the instant at which it was true, None for now."""

    value: Value
    as_of: float | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """The source knows that there is no such thing, and why: remembered for a short while."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The source could not say, and why: never remembered."""

    error: Exception


Outcome: TypeAlias = Loaded | Absent | Failed


class Source(Protocol):
    """Where values come from when no tier has them: L3, then the provider; called from any thread.

    A source does not ask the lookup that asked it; functions of a ``ResultsCache``, one to a request, may.
    """

    @property
    def name(self) -> str:
        """Short name, as it stands in counters."""
        ...

    def load(self, requests: Sequence[Request]) -> Mapping[str, Outcome]:
        """Return what is known by key; a key left out is one that the next source is asked for.

        Whatever it raises counts as a failure for all of ``requests``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Attributes
    ----------
    key
        Of the request.
    tier
        Tier or source that answered; ``negative`` for a remembered absence.
    entry
        The value with its instants; None if there is none, or if it cannot be kept (then ``uncached``).
    stale
        The value is no longer fresh; a new one is being fetched.
    error
        Why there is no value: ``UnknownError``, or what the source raised.
    uncached
        A value that no tier can keep, handed through as it is.
    """

    key: str
    tier: str
    entry: Entry | None = None
    stale: bool = False
    error: Exception | None = None
    uncached: Value = None

    @property
    def value(self) -> Value:
        """The value.

        Raises
        ------
        UnknownError
            It does not exist.
        Exception
            What the source raised.
        """
        if self.error is not None:
            raise self.error
        return self.uncached if self.entry is None else self.entry.value


def entry_of(request: Request, loaded: Loaded, now: float) -> Entry | UncacheableError:
    """Return what ``loaded`` is kept as, or why it cannot be kept."""
    as_of = now if loaded.as_of is None else loaded.as_of
    try:
        return Entry.of(loaded.value, as_of, request.expiry(as_of))
    except UncacheableError as error:
        return error
