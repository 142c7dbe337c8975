"""The application: routes, problems, the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from whosings import __version__
from whosings.answer import NOTICE
from whosings.errors import WhosingsError
from whosings.service import answer_routes, job_routes, library_routes, singer_routes
from whosings.service.desk import Desk
from whosings.service.document import completed
from whosings.service.gate import Gate
from whosings.service.problems import Refusal, no_room, problem_response
from whosings.service.rows import Problem
from whosings.service.telemetry import Telemetry
from whosings.service.tokens import Tokens

_ROUTERS: tuple[APIRouter, ...] = (
    answer_routes.router,
    singer_routes.router,
    library_routes.router,
    job_routes.router,
)
_MOST_FIELDS, _MOST_FILES, _MOST_PART = 10, 2, 10_000  # of a form
_MOST_TOLD = 200  # letters of a field's name, which strangers may choose
_POLICY = (
    "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ABOUT = f"""Who sings a recording: enrolled singers, or nobody who is enrolled.

{NOTICE}

Problems come as `application/problem+json` (RFC 9457) with one sentence in `detail`. Where the status is 429 or 503,
ask again after `Retry-After` seconds. Recordings that take long are answered by a job (202)."""


def build_app(desk: Desk, telemetry: Telemetry, tokens: Tokens | None, debug: bool = False) -> Gate:
    """The application of a service, behind its gate.

    Args:
        desk: not started; the application starts and stops it.
        tokens: None where everybody on this machine may do everything.
        debug: tracebacks of faults are written into the log.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await desk.start()
        telemetry.write("ready")
        try:
            yield
        finally:
            await desk.stop()
            telemetry.write("stopped")

    app = FastAPI(
        title="whosings",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # both take scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        form_limits={"max_fields": _MOST_FIELDS, "max_files": _MOST_FILES, "max_part_size": _MOST_PART},
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,  # to wherever a header says that this is
        generate_unique_id_function=lambda route: route.name,  # as the client calls it
    )
    app.state.desk, app.state.needs_token = desk, tokens is not None
    for router in _ROUTERS:
        app.include_router(router)
    _add_page(app)
    _add_problems(app, desk)
    routes = [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    _complete_document(app)
    return Gate(app, routes, desk.limits, tokens, telemetry, debug)


def _add_page(app: FastAPI) -> None:
    page = Path(str(files("whosings"))) / "service" / "page"
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(page / "index.html", media_type="text/html", headers=headers)

    class Parts(StaticFiles):
        def file_response(self, *given: Any, **named: Any) -> Response:
            found = super().file_response(*given, **named)
            found.headers.update(headers)
            return found

    app.mount("/page", Parts(directory=page))


def _add_problems(app: FastAPI, desk: Desk) -> None:
    def response(request: Request, problem: Problem, headers: Any = None) -> Response:
        whole = Problem(problem.title, problem.status, problem.detail, request.state.request_id)
        return problem_response(whole, headers)

    @app.exception_handler(WhosingsError)
    async def of_ours(request: Request, error: WhosingsError) -> Response:
        problem = desk.problem_of(error)
        return response(request, problem, {"Retry-After": "5"} if problem.status == 503 else None)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, OSError):  # FastAPI takes all that happens to a body for its sender's doing
            error = no_room(error.__cause__)
        problem = desk.problem_of(error)
        if not isinstance(error, Refusal):
            problem = Problem(_title(error.status_code), error.status_code, f"{error.detail}.".replace("..", "."))
        return response(request, problem, error.headers)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        """Of ours; the gate writes it into the log."""
        sentence = f"Something went wrong inside; tell who runs the service: request {request.state.request_id}."
        return response(request, Problem("Fault", 500, sentence))

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return response(request, Problem("UnfitRequest", 422, "The request's body is no JSON; correct it."))
        if "UploadFile" in first["msg"]:
            sentence = "The form has a text where a file belongs; send the file with its name, as multipart/form-data."
            return response(request, Problem("UnfitRequest", 422, sentence))
        where = ".".join(str(part) for part in first["loc"][1:])[:_MOST_TOLD] or "the request"
        sentence = f"{where}: {first['msg'].removeprefix('Value error, ').lower()}; correct the request."
        return response(request, Problem("UnfitRequest", 422, sentence))


def _title(status: int) -> str:
    return {404: "NoSuchPage", 405: "NoSuchMethod"}.get(status, "Refused")


def _complete_document(app: FastAPI) -> None:
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            completed(made())
        return made()

    app.openapi = openapi  # type: ignore[method-assign]
