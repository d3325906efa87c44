"""The handlers of `/ops`: each asks insights, and renders. What acts is in `acting`."""

from __future__ import annotations

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from services import logs
from services.clock import Clock
from services.database import Database
from services.notifier.watch.insights import deliveries, intake, reports, subscriptions
from services.notifier.watch.insights.deliveries import Wanted
from services.notifier.watch.insights.views import DeliveryState
from services.notifier.watch.pages.acting import Handler, done, mount_acts
from services.notifier.watch.pages.rendering import FOLDER, missing, page

log = logs.get(__name__)

MOST_ROWS = 100
"""Most rows of one table."""


def mount_ops(app: web.Application, database: Database, clock: Clock, *, base: str) -> None:
    """Add `/ops` to the admin application; `base` is where `/fhir` is reached, for the commands it suggests."""
    pages = OpsPages(database, clock, base)
    for path, handler in (
        ("/ops", pages.overview),
        ("/ops/", pages.overview),
        ("/ops/find", pages.find),
        ("/ops/subscriptions/{id}", pages.subscription),
        (r"/ops/subscriptions/{id}/{number:\d{1,18}}", pages.delivery),
    ):
        app.router.add_get(path, guarded(handler))
    mount_acts(app, database, clock, guarded)
    app.router.add_static("/ops/static", FOLDER / "static")


class OpsPages:
    """The pages over one notifier's rows."""

    def __init__(self, database: Database, clock: Clock, base: str) -> None:
        """Take the notifier's database and the FHIR base."""
        self._database = database
        self._clock = clock
        self._base = base

    async def overview(self, request: web.Request) -> web.Response:
        """Show totals, every subscription with what keeps it, and how far the log is read."""
        return page(
            "overview.html",
            overview=await subscriptions.overview(self._database, self._clock, at_most=MOST_ROWS),
            positions=await intake.positions(self._database),
            dead_letters=await intake.dead_letters(self._database, 10),
            base=self._base,
            at_most=MOST_ROWS,
            done=done(request),
        )

    async def subscription(self, request: web.Request) -> web.Response:
        """Show one subscription: what it is owed, and the last tries."""
        logical_id = request.match_info["id"]
        view = await subscriptions.subscription(self._database, logical_id)
        if view is None:
            return missing(f"There is no Subscription/{logical_id}.")
        state = _state(request.query.get("state"))
        wanted = Wanted(subscription=logical_id, state=state, at_most=MOST_ROWS)
        return page(
            "subscription.html",
            view=view,
            now=await subscriptions.now(self._database, self._clock),
            state=state,
            states=list(DeliveryState),
            deliveries=await deliveries.deliveries(self._database, wanted),
            attempts=await deliveries.attempts(self._database, logical_id, 20),
            done=done(request),
            at_most=MOST_ROWS,
        )

    async def delivery(self, request: web.Request) -> web.Response:
        """Show everything that happened to one number."""
        logical_id, number = request.match_info["id"], int(request.match_info["number"])
        story = await deliveries.delivery(self._database, logical_id, number)
        if story is None:
            return missing(f"Subscription/{logical_id} has no number {number}.")
        return page("delivery.html", story=story, now=await subscriptions.now(self._database, self._clock))

    async def find(self, request: web.Request) -> web.Response:
        """Answer where a report is, by its id or its contract."""
        sought = request.query.get("q", "").strip()
        trails, contracts = await reports.search(self._database, sought)
        return page(
            "find.html",
            sought=sought,
            trails=trails,
            contracts=contracts,
            now=await subscriptions.now(self._database, self._clock),
        )


def _state(given: str | None) -> DeliveryState | None:
    return DeliveryState(given) if given in set(DeliveryState) else None


def guarded(handler: Handler) -> Handler:
    """Return a handler that says so on a page when the database does not answer."""

    async def shown(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (SQLAlchemyError, OSError) as error:
            # The text of a database error may quote a row.
            log.warning("ops_page_failed", path=request.path, failure=type(error).__name__)
            return missing("The database does not answer; this page goes on when it does.", status=503)

    return shown
