"""The handlers of acts: a page that says what would be done, and the form's answer that does it and leads back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from services.clock import Clock
from services.database import Database
from services.notifier.watch.actions import RetryRefusedError
from services.notifier.watch.pages.acts import ACTS, Act, Asked, Foreseen
from services.notifier.watch.pages.rendering import missing, page
from services.notifier.watch.pages.same_origin import same_origin
from services.notifier.watch.recovery.trail import Order, RecoveryRefusedError
from services.principal import LOCAL

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OF_ONE, _OF_ALL = "/ops/subscriptions/{id}/", "/ops/"


def mount_acts(
    app: web.Application, database: Database, clock: Clock, guarded: Callable[[Handler], Handler]
) -> None:
    """Add a page and a form for each act: those on one Subscription, and what can be recovered of all."""
    paths = [(f"{_OF_ONE}{name}", act) for name, act in ACTS.items()]
    for path, act in (*paths, (f"{_OF_ALL}recover", ACTS["recover"])):
        pages = ActPages(database, clock, act)
        app.router.add_get(path, guarded(pages.show))
        app.router.add_post(path, guarded(pages.do))


def done(request: web.Request) -> str | None:
    """Return what the page says of the act that led to it; the address only names the act."""
    act = ACTS.get(request.query.get("done", ""))
    return None if act is None else act.done


class ActPages:
    """The page and the form of one act."""

    def __init__(self, database: Database, clock: Clock, act: Act) -> None:
        """Take the notifier's database."""
        self._database = database
        self._clock = clock
        self._act = act

    async def show(self, request: web.Request) -> web.Response:
        """Say what would be done; nothing is changed."""
        asked = Asked(self._database, self._clock, request.match_info.get("id"), dict(request.query))
        return await self._page(asked)

    async def do(self, request: web.Request) -> web.Response:
        """Do it, when one of our own pages asks, and lead back to where it shows."""
        headers = request.headers
        if not same_origin(
            site=headers.get("Sec-Fetch-Site"), origin=headers.get(hdrs.ORIGIN), host=request.host
        ):
            said = (
                "This was not asked by this page: open /ops here, or use the commands of `vbpr deliveries`."
            )
            return missing(said, status=403)
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked = Asked(self._database, self._clock, request.match_info.get("id"), form)
        try:
            await self._act.perform(asked, Order(LOCAL.client, form.get("reason", "")))
        except (RecoveryRefusedError, RetryRefusedError) as refused:
            return await self._page(asked, str(refused))
        # See other: reloading the page that follows does nothing again.
        name = request.path.rpartition("/")[2]
        return web.Response(status=303, headers={hdrs.LOCATION: f"{_back(asked)}?done={name}"})

    async def _page(self, asked: Asked, refused: str | None = None) -> web.Response:
        foreseen: Foreseen | None = None
        try:
            foreseen = await self._act.foresee(asked)
        except (RecoveryRefusedError, RetryRefusedError) as refusal:
            refused = refused or str(refusal)
        return page(
            "act.html",
            status=200 if refused is None else 409,
            act=self._act,
            subscription=asked.subscription,
            foreseen=foreseen,
            refused=refused,
            back=_back(asked),
        )


def _back(asked: Asked) -> str:
    return "/ops" if asked.subscription is None else f"/ops/subscriptions/{asked.subscription}"
