"""The OpenAPI document as a page to read: no script, nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.4 ui-monospace,monospace}pre{overflow:auto;padding:.7rem;border:1px solid #8886;border-radius:6px}
summary{cursor:pointer;padding:.3rem 0}table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;
vertical-align:top}b.method{display:inline-block;min-width:4.5rem}section{margin:1.5rem 0}
"""


@router.get("/api/docs")
async def documentation(request: Request) -> Response:
    """Return the page."""
    body = documentation_page(request.app.openapi())
    return Response(body, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})


def documentation_page(document: dict[str, Any]) -> str:
    """Return an OpenAPI document as HTML."""
    info = document["info"]
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style><body><main>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>",
        '<p><a href="/api/openapi.json">The same as an OpenAPI document</a></p>',
    ]
    for path, operations in document["paths"].items():
        parts += [_operation(path, method, found) for method, found in operations.items()]
    parts.append("<h2>Models</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        text = json.dumps(schema, indent=1, ensure_ascii=False)
        parts.append(
            f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> '
            f"{escape(str(schema.get('description', '')))}</summary><pre>{escape(text)}</pre></details>"
        )
    return "".join([*parts, "</main></body></html>"])


def _operation(path: str, method: str, found: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each['in'])}</td>"
        f"<td>{'required' if each.get('required') else 'optional'}</td>"
        f"<td>{escape(each.get('description') or each['schema'].get('description') or '')}</td></tr>"
        for each in found.get("parameters", [])
    )
    table = (
        f"<table><tr><th>Parameter</th><th>In</th><th></th><th>Meaning</th></tr>{rows}</table>"
        if rows
        else ""
    )
    body = found.get("requestBody", {}).get("content", {})
    sent = "".join(f"<p>Body: {escape(media)} {_link(each)}</p>" for media, each in body.items())
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(each.get('description', ''))} "
        + ", ".join(f"{escape(media)} {_link(form)}" for media, form in each.get("content", {}).items())
        + "</li>"
        for status, each in found["responses"].items()
    )
    return (
        f'<section><h2><b class="method">{method.upper()}</b> <code>{escape(path)}</code></h2>'
        f"<p>{escape(found.get('summary', ''))}. {escape(found.get('description', ''))}</p>{table}{sent}"
        f"<ul>{answers}</ul></section>"
    )


def _link(content: dict[str, Any]) -> str:
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    return f'<a href="#{escape(name)}">{escape(name)}</a>' if name else ""
