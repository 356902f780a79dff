"""Parameters of a study and facts about its data, given as nested mappings, as lists on the page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from finpipe.backtest.report import figures
from finpipe.page import numerals
from finpipe.page.markup import Markup, element, term

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Parameters = Mapping[str, object]


def described(given: object) -> tuple[object, str | None]:
    """Return value and description of a parameter.

    It is given as a bare value, as the pair ``(value, description)``, or as a mapping with the keys
    ``value`` and ``description``.
    """
    if isinstance(given, Mapping) and "value" in given:
        description = given.get("description")
        return given["value"], None if description is None else str(description)
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], str | None):
        return given[0], given[1]
    return given, None


def documented(settings: DataclassInstance) -> dict[str, tuple[object, str | None]]:
    """Return the fields of a dataclass with what its numpydoc docstring says about each.

    Examples
    --------
    >>> from finpipe.backtest.rules import Rules
    >>> documented(Rules(n=10))["n"]
    (10, 'Number of stocks of top_n.')
    """
    texts = _texts(inspect.getdoc(type(settings)) or "")
    return {field.name: (getattr(settings, field.name), texts.get(field.name)) for field in fields(settings)}


def groups(title: str, parameters: Parameters) -> list[tuple[str, Parameters]]:
    """Return the plain values under ``title``, then each nested mapping under its own name."""
    plain = {key: value for key, value in parameters.items() if not _is_group(value)}
    found: list[tuple[str, Parameters]] = [(title, plain)] if plain else []
    for key, value in parameters.items():
        if isinstance(value, Mapping) and _is_group(value) and value:
            found.append((figures.label(key), value))
    return found


def listing(parameters: Parameters) -> Markup:
    """Return names and values, with the descriptions on hover."""
    items = []
    for key, given in parameters.items():
        value, description = described(given)
        name = element("dt", term(figures.label(key), description))
        items.append(element("div", name, element("dd", "none" if value is None else numerals.plain(value))))
    return element("dl", items, class_="stats")


def _is_group(value: object) -> bool:
    return isinstance(value, Mapping) and "value" not in value


def _texts(docstring: str) -> dict[str, str]:
    """Return the descriptions under Parameters or Attributes; names that share one are given apart by commas."""
    section = re.search(
        r"^(?:Parameters|Attributes)\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", docstring, re.MULTILINE | re.DOTALL
    )
    if section is None:
        return {}
    found = {}
    for names, text in re.findall(r"^(\S[^\n]*)\n((?:[ \t]+[^\n]*\n?|\n)+)", section[1], re.MULTILINE):
        sentence = " ".join(text.split()).replace("`", "")
        for name in names.split(":")[0].split(","):
            found[name.strip()] = sentence
    return found
