"""What a tier keeps under a key: an immutable value, when it was made, and how long it may be used.

Instants are seconds since 1970 in UTC, as ``time.time`` gives them; an instant that never comes is ``FOREVER``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

FOREVER = math.inf

Clock: TypeAlias = Callable[[], float]
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Value: TypeAlias = "pa.Table | Json"
Payload: TypeAlias = "pa.Table | bytes"


class UncacheableError(TypeError):
    """A value or a request cannot be kept: the message says which part and what would work."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """Until when a value is right, and until when it may still be shown while a new one is fetched.

    Attributes
    ----------
    fresh_until
        Before this instant the value is used as it is.
    expires_at
        Between ``fresh_until`` and this instant the value is stale: served at once and replaced in the
        background. From then on it is gone. Not before ``fresh_until``.
    """

    fresh_until: float
    expires_at: float

    def __post_init__(self) -> None:
        if not self.fresh_until <= self.expires_at:
            raise ValueError(
                f"a value cannot be gone ({self.expires_at}) before it is stale ({self.fresh_until})"
            )


NEVER = Expiry(FOREVER, FOREVER)


def never_expires(as_of: float) -> Expiry:  # noqa: ARG001 a policy is called with the instant
    """Return the policy of values whose key carries the version of all that they depend on."""
    return NEVER


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as the tiers hand it on; nobody who got it can change what others get.

    Attributes
    ----------
    payload
        An Arrow table, or the UTF-8 text of a JSON value.
    stored_at
        Instant at which the value was true, not at which a tier took it over.
    expiry
        Until when it may be used.
    """

    payload: Payload
    stored_at: float
    expiry: Expiry

    @classmethod
    def of(cls, value: Value, stored_at: float, expiry: Expiry) -> Entry:
        """Return ``value`` as an entry.

        Raises
        ------
        UncacheableError
            It is neither an Arrow table nor a JSON value. NaN and infinity are not JSON: use None.
        """
        import pyarrow as pa

        if isinstance(value, pa.Table):
            return cls(value, stored_at, expiry)
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
        except (TypeError, ValueError) as error:
            raise UncacheableError(
                f"{type(value).__name__} cannot be kept: {error}; give an Arrow table or JSON (None for NaN)"
            ) from error
        return cls(text, stored_at, expiry)

    @property
    def value(self) -> Value:
        """The table, or a new copy of the JSON value."""
        return json.loads(self.payload) if isinstance(self.payload, bytes) else self.payload

    def is_fresh(self, now: float) -> bool:
        """Return whether the value is right at ``now``."""
        return now < self.expiry.fresh_until

    def is_usable(self, now: float) -> bool:
        """Return whether the value may be served at ``now``, fresh or stale."""
        return now < self.expiry.expires_at
