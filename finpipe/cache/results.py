"""Results of functions, kept under the request, the version of the code and the version of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from finpipe.cache.entry import Expiry, Value, never_expires
from finpipe.cache.keys import request_key
from finpipe.cache.lookup import Lookup
from finpipe.cache.request import Answer, Failed, Loaded, Outcome, Request


class ComputedSource:
    """Runs the function that is the subject of each request."""

    name = "computed"

    @staticmethod
    def load(requests: Sequence[Request]) -> Mapping[str, Outcome]:
        """Return what the functions return; what one raises is its failure alone."""
        return {request.key: _computed(request.subject) for request in requests}


class ResultsCache:
    """Forecasts, optimisations and the like: computed once for a request, a code and a state of the data.

    New data have a new version, hence new keys: what was computed from the old ones is not found any more
    and goes as the least recently used. Nothing else becomes invalid.

    Parameters
    ----------
    lookup
        On the tiers to use; its only source is a ``ComputedSource``.
    """

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup

    def get(
        self,
        kind: str,
        parameters: Mapping[str, object],
        compute: Callable[[], Value],
        *,
        code_version: str,
        data_version: str,
        expiry: Callable[[float], Expiry] = never_expires,
        background: bool = False,
    ) -> Answer:
        """Return the result of ``compute`` for these parameters, computed now or before.

        Parameters
        ----------
        kind, parameters, code_version, data_version
            See ``request_key``; ``data_version`` is that of all inputs of ``compute``.
        compute
            Called without arguments, at most once at a time for a key; returns an Arrow table or JSON.
        expiry
            Policy of results that depend on more than their key says.
        background
            Nobody waits, see ``Lookup.get_many``.

        Raises
        ------
        UncacheableError
            A parameter has no canonical form.
        """
        key = request_key(kind, parameters, code_version=code_version, data_version=data_version)
        return self.lookup.get(Request(key, compute, expiry), background=background)


def _computed(compute: object) -> Outcome:
    if not callable(compute):
        return Failed(
            TypeError(f"the subject of a computed request is a function, not {type(compute).__name__}")
        )
    try:
        return Loaded(compute())
    except Exception as error:  # noqa: BLE001 it goes to those who asked
        return Failed(error)
