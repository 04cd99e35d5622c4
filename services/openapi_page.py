"""The API's description as one page of HTML that needs nothing else: no script, no other host."""

from __future__ import annotations

import json
import re
from html import escape

from services.kit.openapi import Json

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8884; border-radius: 4px; }
details { border: 1px solid #8884; border-radius: 4px; margin: .4rem 0; padding: .4rem .75rem; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4.5rem; }
td, th { text-align: left; vertical-align: top; padding: .1rem 1rem .1rem 0; }
h2 { margin-top: 2.5rem; }
"""


def page(document: Json) -> str:
    """An OpenAPI document as HTML, one section a tag, one fold an operation."""
    info = document["info"]
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    sections = "".join(
        f"<h2 id={_quoted(tag['name'])}>{escape(tag['name'])}</h2>"
        + "".join(_operation(*one) for one in operations if tag["name"] in one[2]["tags"])
        for tag in document["tags"]
    )
    models = "".join(
        f"<details id={_quoted('model-' + name)}><summary><b>{escape(name)}</b> "
        f"{_text(schema.get('description', ''))}</summary>{_json(schema)}</details>"
        for name, schema in document["components"]["schemas"].items()
    )
    contents = " · ".join(
        f"<a href={_quoted('#' + tag['name'])}>{escape(tag['name'])}</a>"
        for tag in document["tags"]
    )
    title = escape(f"{info['title']} {info['version']}")
    about = "".join(f"<p>{_text(part)}</p>" for part in info["description"].split("\n\n"))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{about}"
        f'<p>{contents} · <a href="#models">models</a> · '
        f'<a href="openapi.json">openapi.json</a></p>{sections}'
        f'<h2 id="models">models</h2>{models}</body></html>\n'
    )


def _operation(path: str, method: str, operation: Json) -> str:
    token = "needs an access token" if operation.get("security") else "needs no token"
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}"
        f"{', required' if one['required'] else ''}</td>"
        f"<td>{_kind(one['schema'])}</td><td>{_text(one.get('description', ''))}</td></tr>"
        for one in operation.get("parameters", ())
    )
    body = "".join(
        f"<p>Body: {_kind(media['schema'])}</p>"
        for media in operation.get("requestBody", {}).get("content", {}).values()
    )
    answers = "".join(
        f"<tr><td>{status}</td><td>"
        + (
            " ".join(_kind(media["schema"]) for media in answer.get("content", {}).values())
            or "no body"
        )
        + f"</td><td>{_text(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<details id={_quoted(operation['operationId'])}><summary><b>{method.upper()}</b> "
        f"<code>{escape(path)}</code> — {_text(operation['summary'])}</summary>"
        f"<p>{_text(operation.get('description', ''))} {token}.</p>"
        f"<table>{rows}</table>{body}<table>{answers}</table></details>"
    )


def _kind(schema: Json) -> str:
    """A schema in a few words; a model as a link to it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href={_quoted('#model-' + name)}>{escape(name)}</a>"
    limits = [
        f"{words} {schema[key]}"
        for key, words in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("minLength", "at least"),
            ("maxLength", "at most"),
            ("default", "default"),
        )
        if key in schema
    ]
    kind = str(schema.get("format") or schema.get("type") or "")
    if "enum" in schema:
        kind = " | ".join(map(str, schema["enum"]))
    return escape(" ".join([kind, *limits]))


def _json(schema: Json) -> str:
    return f"<pre>{escape(json.dumps(schema, indent=2, ensure_ascii=False))}</pre>"


def _quoted(value: str) -> str:
    return f'"{escape(value)}"'


def _text(words: str) -> str:
    """Prose, with what stands between backquotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(words))
