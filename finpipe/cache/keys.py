"""Canonical keys: equal requests have equal keys, whatever the order or the type they were written in.

A key is the hash of the request as sorted JSON, together with the version of the code and of the data that
the answer depends on. No key holds the address or the ``repr`` of an object.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from enum import Enum
from hashlib import blake2b
from numbers import Integral, Real

from finpipe.cache.entry import Json, UncacheableError

SCHEMA_VERSION = 1
"""Raised when what is stored under a key changes its meaning; older values are then never found."""

_KIND = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def request_key(
    kind: str, parameters: Mapping[str, object], *, code_version: str = "", data_version: str = ""
) -> str:
    """Return the key of a request: ``finpipe:{schema version}:{kind}:{32 hex digits}``.

    Parameters
    ----------
    kind
        What is asked for, e.g. ``prices``: lower-case letters, digits, ``_``, ``.`` and ``-``.
    parameters
        The request. Sequences keep their order, so give a set where order means nothing (tickers).
        ``1`` and ``1.0`` are the same number; a date equals its ISO text; texts are compared in NFC.
    code_version
        Version of the code that computes the answer; a new one makes new keys.
    data_version
        Version of the data that the answer is computed from; a new one makes new keys.

    Raises
    ------
    UncacheableError
        A parameter has no canonical form (a function, an open file, a frame, NaN): names which one.
    """
    if not _KIND.fullmatch(kind):
        raise UncacheableError(f"{kind!r} is no kind of request: use up to 64 of a-z, 0-9, '_', '.' and '-'")
    request = {"code": code_version, "data": data_version, "request": canonical(parameters)}
    return f"{key_prefix(kind)}{blake2b(_text(request).encode(), digest_size=16).hexdigest()}"


def key_prefix(kind: str = "") -> str:
    """Return what the keys of ``kind`` begin with; those of every kind when it is empty."""
    return f"finpipe:{SCHEMA_VERSION}:{kind}:" if kind else f"finpipe:{SCHEMA_VERSION}:"


def canonical(value: object, where: str = "parameters") -> Json:
    """Return ``value`` as JSON in the one form that all equal requests share.

    Raises
    ------
    UncacheableError
        There is none: says where in the request and of what type.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Mapping):
        return _mapping(value, where)
    if isinstance(value, AbstractSet):
        items = {_text(canonical(item, f"{where}{{}}")) for item in value}
        return [json.loads(item) for item in sorted(items)]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return [canonical(item, f"{where}[{place}]") for place, item in enumerate(value)]
    return _scalar(value, where)


def _scalar(value: object, where: str) -> Json:
    match value:
        case None | bool():
            return value
        case str():
            return unicodedata.normalize("NFC", value)
        case datetime():
            return _instant(value, where)
        case date():
            return value.isoformat()
        case Integral():
            return int(value)
        case Real():
            return _number(float(value), where)
    raise UncacheableError(
        f"{where} is a {type(value).__name__}, which has no canonical form: a request is made of "
        "texts, finite numbers, dates, lists, sets and mappings of these"
    )


def _instant(value: datetime, where: str) -> str:
    if value.tzinfo is None:
        raise UncacheableError(f"{where} is a time without a time zone ({value}): give it one")
    return value.astimezone(UTC).isoformat()


def _mapping(value: Mapping[object, object], where: str) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise UncacheableError(f"{where} has the name {name!r}: the names of a mapping are texts")
        plain = unicodedata.normalize("NFC", name)
        if plain in result:
            raise UncacheableError(f"{where} has the name {plain!r} twice, in two spellings of Unicode")
        result[plain] = canonical(item, f"{where}.{plain}")
    return result


def _number(value: float, where: str) -> int | float:
    if not math.isfinite(value):
        raise UncacheableError(
            f"{where} is {value}: a request holds finite numbers, None for what is unknown"
        )
    return int(value) if value.is_integer() else value


def _text(value: Json) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
