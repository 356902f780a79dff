"""HTML elements whose text and attributes are always escaped, and JSON that is safe inside a script.

Names of companies come from databases that other people fill; nothing reaches the page around this module.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable
from typing import Any

Content = str | Iterable[str | None] | None

VOID = frozenset({"br", "col", "hr", "img", "input", "link", "meta"})


class Markup(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def element(tag: str, /, *children: Content, **attributes: object) -> Markup:
    """Return an HTML element.

    Parameters
    ----------
    tag
        Name of the element.
    children
        Text, which is escaped; markup, which is not; or iterables of both. None adds nothing.
    attributes
        ``class_`` becomes ``class``, other underscores become hyphens. None and False leave the
        attribute out, True writes its bare name.

    Examples
    --------
    >>> element("p", "5 < 6", class_="note")
    '<p class="note">5 &lt; 6</p>'
    """
    opening = "".join(_attribute(key, value) for key, value in attributes.items())
    if tag in VOID:
        return Markup(f"<{tag}{opening}>")
    return Markup(f"<{tag}{opening}>{join(*children)}</{tag}>")


def join(*children: Content) -> Markup:
    """Return the children one after the other, escaped where they are not markup."""
    return Markup("".join(_flatten(children)))


def term(label: str, definition: str | None) -> Markup:
    """Return ``label`` with its definition on hover; without a definition, the label alone."""
    if not definition:
        return Markup(html.escape(label))
    return element("abbr", label, title=definition, class_="term")


def number(text: str, value: float | None) -> Markup:
    """Return a formatted number that carries its exact value for programs that read the page."""
    known = value is not None and math.isfinite(value)
    return element("data", text, value=repr(value) if known else "")


def script_json(identifier: str, content: object) -> Markup:
    """Return a JSON data block, which a browser does not run. NaN and infinities become null."""
    text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return element("script", Markup(text), type="application/json", id=identifier)


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'


def _flatten(children: Iterable[Content]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str):
            yield html.escape(child)
        else:
            yield from _flatten(child)


def _finite(content: Any) -> Any:  # noqa: ANN401 - JSON is any nesting of dicts, lists and scalars
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
