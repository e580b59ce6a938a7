"""The HTTP side of the service."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from grader import __version__
from grader.autograder import ServiceSettings
from grader.errors import GraderError
from grader.models import SubmissionResult
from grader.service.audit import Audit
from grader.service.gate import Pace, Tokens
from grader.service.jobs import JobRow, Jobs
from grader.service.protocol import PATH, Answer, State
from grader.service.spool import Spool


def make_app(lab: str, settings: ServiceSettings, jobs: Jobs, spool: Spool, audit: Audit, wake: Callable[[], None]) -> FastAPI:
    """The application. wake: called when there is new work."""
    app = FastAPI(title="GAN lab grader", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    tokens = Tokens(settings.tokens)
    requests, submissions = Pace(settings.requests_per_minute), Pace(settings.submissions_per_minute)

    def caller(request: Request) -> str:
        """The name of whose token it is, within what that may ask."""
        name = tokens.name(request.headers.get("authorization", ""))
        if name is None:
            raise HTTPException(
                401, "no token, or an unknown one; [service.tokens] in course.toml lists them", {"WWW-Authenticate": "Bearer"}
            )
        request.state.token = name
        _within(requests, name)
        return name

    Caller = Annotated[str, Depends(caller)]  # noqa: N806 (a type)

    @app.get("/v1/health")
    def health() -> dict[str, object]:
        return {"lab": lab, "version": __version__}

    @app.post(PATH)
    async def submit(request: Request, response: Response, name: Caller) -> Answer:
        _within(submissions, name)
        spool.expect_fitting(request.headers.get("content-length"))
        if await asyncio.to_thread(jobs.waiting) >= settings.max_queue:
            raise HTTPException(503, f"{settings.max_queue} hand-ins wait already; send it later", {"Retry-After": "30"})
        job = await spool.receive(request.stream())
        request.state.job = job
        new = await asyncio.to_thread(jobs.add, job, name)
        response.status_code = 202 if new else 200
        wake()
        return await asyncio.to_thread(_answer, jobs, job)

    @app.get(PATH + "/{job}")
    def state(request: Request, job: str, name: Caller) -> Answer:
        request.state.job = job[:64]
        return _answer(jobs, job)

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"message": error.detail}, error.status_code, error.headers)

    @app.exception_handler(GraderError)
    async def fail(request: Request, error: GraderError) -> JSONResponse:
        return JSONResponse({"message": str(error)}, 503, {"Retry-After": "30"})

    @app.middleware("http")
    async def log(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await proceed(request)
        if request.method != "GET" or response.status_code >= 400:  # not the many looks at what is not done yet
            known = {name: getattr(request.state, name, None) for name in ("token", "job")}
            peer = request.client.host if request.client else None
            audit.note(
                "request", peer=peer, method=request.method, path=request.url.path[:200], status=response.status_code, **known
            )
        return response

    return app


def _within(pace: Pace, name: str) -> None:
    if wait_s := pace.wait_s(name):
        raise HTTPException(429, "too many requests; wait a little", {"Retry-After": str(math.ceil(wait_s))})


def _answer(jobs: Jobs, job: str) -> Answer:
    row = jobs.find(job)
    if row is None:
        raise HTTPException(404, "no such hand-in was sent here")
    waiting = row.state in (State.QUEUED, State.RUNNING)
    return Answer(
        id=row.id,
        state=State(row.state),
        ahead=jobs.ahead(row) if waiting else 0,
        result=_result(row),
        message=row.message if not waiting else "",
    )


def _result(row: JobRow) -> SubmissionResult | None:
    settled = row.state in (State.DONE, State.UNGRADED)
    return SubmissionResult.model_validate_json(row.result) if row.result and settled else None
