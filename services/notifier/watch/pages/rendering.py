"""Templates, times in words, and the headers of every page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from markupsafe import Markup

from services.notifier.watch import words

FOLDER = Path(__file__).parent

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    # Our own pages only: with `no-referrer` a browser would send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def _moment(at: datetime | None, now: datetime) -> str:
    """Return a time as both: relative to read, absolute to quote."""
    if at is None:
        return "–"  # noqa: RUF001  # an en dash stands for nothing there
    text = Markup('<time datetime="{}">{}<span>{}</span></time>')
    return text.format(at.isoformat(), words.relative(at, now), words.absolute(at))


def _at(at: datetime) -> str:
    """Return a time to quote, beside words that have said it."""
    return Markup('<time datetime="{}"><span>{}</span></time>').format(at.isoformat(), words.absolute(at))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    environment.filters["at"] = _at
    environment.filters["doing"] = words.doing
    return environment


_ENVIRONMENT = _environment()


def missing(said: str, *, status: int = 404) -> web.Response:
    """Return the page that says why there is nothing to show."""
    return page("missing.html", status=status, said=said)


def page(template: str, *, status: int = 200, **values: Any) -> web.Response:
    """Return a page."""
    text = _ENVIRONMENT.get_template(template).render(**values)
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=_HEADERS)
