"""A page as a browser reads it, for tests of everything that makes pages."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from finpipe.page.markup import VOID


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text inside them."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.unbalanced: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.scripts: dict[str | None, str] = {}
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)
        self.unbalanced += [tag for tag, _ in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1][0] != tag:
            self.unbalanced.append(tag)
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag == "script":
            self.scripts[attributes.get("id")] = data
        elif tag != "style" and data.strip():
            self.texts.append((tag, data))

    def json(self, identifier: str) -> Any:
        return json.loads(self.scripts[identifier])

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return "\n".join(data for _, data in self.texts)
