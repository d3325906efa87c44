"""Who a request acts for: asked on every request, stored with every Subscription."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from schemas.facets import EVERY_ORGANISATION

Role = Literal["payer", "provider", "operator"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Client, role and the organisations it stands for (`Organization/id` or an absolute URL)."""

    client: str
    role: Role
    organisations: frozenset[str]

    def may_see(self, parties: frozenset[str]) -> bool:
        """Tell whether a report with these parties may be shown to this principal."""
        return EVERY_ORGANISATION in self.organisations or not self.organisations.isdisjoint(parties)


LOCAL = Principal("local", "operator", frozenset({EVERY_ORGANISATION}))
"""The principal of every request while no authentication is configured; then only loopback is served."""

PRINCIPAL: web.RequestKey[Principal] = web.RequestKey("principal", Principal)
