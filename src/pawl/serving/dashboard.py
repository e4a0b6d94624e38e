"""The dashboard's routes. It reads; the one thing that it writes is a campaign's request to end."""

from __future__ import annotations

import functools
import mimetypes
import threading
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from pawl.ledger import ask_to_stop
from pawl.report.filling import environment
from pawl.serving import layers, trials, versus, views
from pawl.serving.ending import path_of
from pawl.serving.events import stream
from pawl.serving.finding import Campaigns
from pawl.serving.reading import Asked, Campaign, Trial
from pawl.serving.security import FILE_POLICY, Access, Guard

_STATIC = {
    "report.css": ("pawl.report", "templates/report.css", "text/css"),
    "dashboard.css": ("pawl.serving", "static/dashboard.css", "text/css"),
    "dashboard.js": ("pawl.serving", "static/dashboard.js", "text/javascript"),
    "icon.svg": ("pawl.serving", "static/icon.svg", "image/svg+xml"),
}
_MOST_STREAMS, _MOST_RENDERED = 64, 32
View = Callable[[Request, Campaign], Response]


def application(campaigns: Campaigns, access: Access) -> Guard:
    """Returns the dashboard over campaigns, behind its guard."""
    pages = Pages(campaigns)
    return Guard(Starlette(routes=pages.routes(), exception_handlers={404: _missing}), access)


class Pages:
    """Answers requests.

    Args:
        campaigns: What is shown.
    """

    def __init__(self, campaigns: Campaigns) -> None:
        self._campaigns = campaigns
        self._templates = environment("pawl.serving")
        self._streams = 0
        self._lock = threading.Lock()
        self._rendered: dict[tuple[str, str, int, str], str] = {}

    def routes(self) -> list[Route]:
        """Returns all routes; whatever is not among them is not there."""
        at = "/c/{id}"
        return [
            Route("/", self._index),
            Route("/compare", self._versus),
            Route(at, self._of(self._overview)),
            Route(f"{at}/trials", self._of(self._table)),
            Route(f"{at}/trial/{{trial:int}}", self._of(self._trial)),
            Route(f"{at}/compare", self._of(self._compare)),
            Route(f"{at}/layers", self._of(self._layers)),
            Route(f"{at}/file/{{name}}", self._of(self._file)),
            Route(f"{at}/events", self._events),
            Route(f"{at}/stop", self._of(self._stop), methods=["POST"]),
            Route("/static/{name}", _static),
        ]

    def _of(self, view: View) -> Callable[[Request], Awaitable[Response]]:
        """Returns an endpoint for a view of a campaign, run where it may take its time."""

        @functools.wraps(view)
        async def endpoint(request: Request) -> Response:
            campaign = self._campaigns.get(request.path_params["id"])
            if campaign is None:
                return _not_found()
            return await run_in_threadpool(view, request, campaign)

        return endpoint

    async def _index(self, request: Request) -> Response:
        return await run_in_threadpool(self._listed)

    def _listed(self) -> Response:
        found = self._campaigns.all()
        if self._campaigns.single and found:
            return RedirectResponse(f"/c/{found[0].id}", status_code=303)
        cards = [views.card(campaign, campaign.look()[0]) for campaign in found]
        text = self._templates.get_template("campaigns.html.j2").render(
            cards=cards, title="Campaigns", folder=str(self._campaigns.folder)
        )
        return HTMLResponse(text)

    async def _versus(self, request: Request) -> Response:
        ids = request.query_params.getlist("campaign")[:2]
        found = [each for each in map(self._campaigns.get, dict.fromkeys(ids)) if each is not None]
        if len(found) != 2:
            return _plain("Choose two campaigns to compare them.", 400)
        return await run_in_threadpool(self._side_by_side, found)

    def _side_by_side(self, found: Sequence[Campaign]) -> Response:
        template = self._templates.get_template("versus.html.j2")
        return HTMLResponse(template.render(versus.versus(found)))

    def _overview(self, request: Request, campaign: Campaign) -> Response:
        known, version = campaign.look()
        asked = Asked(campaign, known, request.query_params)
        wanted = request.query_params.get("part")
        if wanted is not None:
            if wanted not in views.OVERVIEW:
                return _not_found()
            return HTMLResponse(self._drawn_once(wanted, asked, version))
        parts = [
            (name, Markup(self._drawn_once(name, asked, version))) for name in views.parts(known)
        ]
        return self._page("overview.html.j2", asked, version, parts=parts)

    def _part(self, name: str, asked: Asked) -> str:
        values = views.OVERVIEW[name](asked)
        return str(self._templates.get_template(f"{name}.html.j2").render(values))

    def _drawn_once(self, name: str, asked: Asked, version: int) -> str:
        """Returns a part as it was rendered for this version, if it shows no clock."""
        if name in views.TICKING:
            return self._part(name, asked)
        key = asked.campaign.id, name, version, asked.query.get("across", "")
        with self._lock:
            found = self._rendered.get(key)
        if found is None:
            found = self._part(name, asked)
            with self._lock:
                while len(self._rendered) >= _MOST_RENDERED:
                    self._rendered.pop(next(iter(self._rendered)))
                self._rendered[key] = found
        return found

    def _table(self, request: Request, campaign: Campaign) -> Response:
        known, version = campaign.look()
        asked = Asked(campaign, known, request.query_params)
        values = trials.table(asked)
        if request.query_params.get("part") == "table":
            return HTMLResponse(self._templates.get_template("table.html.j2").render(values))
        return self._page("trials.html.j2", asked, version, **values)

    def _trial(self, request: Request, campaign: Campaign) -> Response:
        known, version = campaign.look()
        one = _trial_of(known.trials, str(request.path_params["trial"]))
        if one is None:
            return _not_found()
        asked = Asked(campaign, known, request.query_params)
        return self._page("trial.html.j2", asked, version, **trials.trial(asked, one))

    def _compare(self, request: Request, campaign: Campaign) -> Response:
        known, version = campaign.look()
        ids = request.query_params.getlist("trial")
        pair = [one for one in (_trial_of(known.trials, id) for id in ids[:2]) if one is not None]
        if len(pair) != 2:
            return _plain("Choose two trials of the campaign to compare them.", 400)
        asked = Asked(campaign, known, request.query_params)
        return self._page("compare.html.j2", asked, version, **trials.comparison(asked, pair))

    def _layers(self, request: Request, campaign: Campaign) -> Response:
        known, version = campaign.look()
        training = campaign.watched()
        found = layers.of_watched(training)
        if not found:
            return _not_found()
        asked = Asked(campaign, known, request.query_params)
        readings = training["readings"]
        return self._page(
            "layers.html.j2", asked, version, layers=found, curves=layers.losses(training),
            readings=len(readings), steps=f"{readings[-1]['step']:,}", status=str(training["status"]),
        )  # fmt: skip

    def _file(self, request: Request, campaign: Campaign) -> Response:
        path = path_of(campaign, request.path_params["name"])
        if path is None:
            return _not_found()
        kind = {".toml": "text/plain", ".md": "text/plain"}.get(path.suffix)
        kind = kind or mimetypes.guess_type(path.name)[0] or "text/plain"
        headers = {"Content-Security-Policy": FILE_POLICY}
        return Response(path.read_bytes(), media_type=kind, headers=headers)

    async def _events(self, request: Request) -> Response:
        campaign = self._campaigns.get(request.path_params["id"])
        if campaign is None:
            return _not_found()
        if self._streams >= _MOST_STREAMS:
            return _plain("Too many pages are open.", 503)
        last = request.headers.get("last-event-id", request.query_params.get("since", ""))

        async def counted() -> Any:
            self._streams += 1
            try:
                async for event in stream(campaign, last):
                    yield event
            finally:
                self._streams -= 1

        return StreamingResponse(counted(), media_type="text/event-stream")

    def _stop(self, request: Request, campaign: Campaign) -> Response:
        known, _ = campaign.look()
        if known.state not in ("running", "stopping"):
            return _plain("Nothing works on this campaign, so there is nothing to end.", 409)
        try:
            ask_to_stop(campaign.folder)
        except OSError as error:
            return _plain(f"The campaign's folder cannot be written: {error.strerror}.", 500)
        return RedirectResponse(f"/c/{campaign.id}", status_code=303)

    def _page(self, template: str, asked: Asked, version: int, **values: Any) -> HTMLResponse:
        card = views.card(asked.campaign, asked.known)
        text = self._templates.get_template(template).render(
            **({"id": asked.campaign.id} | values), card=card, version=version,
            single=self._campaigns.single, watched=asked.known.watched,
        )  # fmt: skip
        return HTMLResponse(text)


def _trial_of(known: tuple[Trial, ...], id: str) -> Trial | None:
    wanted = int(id) if id.isdecimal() and len(id) < 12 else -1
    return next((trial for trial in known if trial.id == wanted), None)


async def _static(request: Request) -> Response:
    found = _STATIC.get(request.path_params["name"])
    if found is None:
        return _not_found()
    room, name, kind = found
    text = resources.files(room).joinpath(name).read_text(encoding="utf-8")
    return Response(text, media_type=kind, headers={"Cache-Control": "no-cache"})


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=status)


def _not_found() -> Response:
    return _plain("There is no such page.", 404)


def _missing(request: Request, error: Exception) -> Response:
    return _not_found()
