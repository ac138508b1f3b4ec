"""Streams, server-sent events and long work that end with the session; nothing is cancelled."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator
from contextlib import ExitStack
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from auth_middleware import Auth, RequestGuard, get_auth, guard_request
from dev.cookies import COOKIE_NAME, cookie, new_token
from tests.support.applications import TLS, CurrentUser
from tests.support.databases import Database, SignedIn
from tests.support.instances import MakeAuth
from tests.support.polling import TIMEOUT_SECONDS, until, wait_until
from tests.support.servers import serving

Serve = Callable[[ASGIApp], str]


@pytest.fixture
def serve() -> Generator[Serve]:
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))


async def ticks(ends: list[str]) -> AsyncIterator[int]:
    try:
        for number in range(10**9):
            yield number
            await asyncio.sleep(0.01)
    finally:
        ends.append("source closed")


async def guarded(request: Request) -> AsyncGenerator[RequestGuard]:
    async with guard_request(request) as guard:
        yield guard


Guarded = Annotated[RequestGuard, Depends(guarded)]


def fastapi_application(auth: Auth[Any, Any], ends: list[str]) -> FastAPI:
    app = FastAPI()
    app.dependency_overrides[get_auth] = lambda: auth

    @app.get("/events", response_class=EventSourceResponse)
    async def events(guard: Guarded) -> AsyncIterable[int]:
        async for number in guard.until_ended(ticks(ends)):
            yield number

    @app.get("/stream")
    async def stream(guard: Guarded) -> StreamingResponse:
        lines = (f"{number}\n" async for number in guard.until_ended(ticks(ends)))
        return StreamingResponse(lines, media_type="text/plain")

    @app.get("/inside")
    async def inside(request: Request, user: CurrentUser) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            async with guard_request(request) as guard:
                assert guard.identity.user == user
                async for number in guard.until_ended(ticks(ends)):
                    yield f"{number}\n"

        return StreamingResponse(lines(), media_type="text/plain")

    @app.get("/returned")
    async def returned(request: Request) -> StreamingResponse:
        async with guard_request(request) as guard:
            return StreamingResponse(f"{number}\n" async for number in guard.until_ended(ticks(ends)))

    @app.get("/timeouts")
    async def timeouts(guard: Guarded) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            while True:
                try:
                    yield await asyncio.wait_for(guard.ended, 0.05)
                    return
                except TimeoutError:
                    yield "still here\n"

        async def both() -> AsyncIterator[str]:
            async for line in guard.until_ended(lines()):
                yield line
            assert guard.ended.result() == "session ended"
            ends.append("source closed")

        return StreamingResponse(both())

    @app.get("/work")
    async def work(guard: Guarded) -> str:
        ends.append("working")
        return await guard.ended

    return app


def starlette_application(auth: Auth[Any, Any], ends: list[str]) -> Starlette:
    async def stream(request: Request) -> StreamingResponse:
        await auth.current_user(request)

        async def lines() -> AsyncIterator[str]:
            async with auth.guard_request(request) as guard:
                async for number in guard.until_ended(ticks(ends)):
                    yield f"{number}\n"

        return StreamingResponse(lines())

    return Starlette(routes=[Route("/stream", stream)])


@pytest.mark.parametrize("path", ["/events", "/stream", "/inside", "/returned", "/timeouts", "/starlette/stream"])
def test_a_stream_ends_with_its_session(
    database: Database, make_auth: MakeAuth, serve: Serve, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    auth = make_auth(recheck_seconds=0.2)
    ends: list[str] = []
    app = fastapi_application(auth, ends)
    app.mount("/starlette", starlette_application(auth, ends))
    url = serve(app)
    who = database.sign_in()
    with httpx.stream("GET", url + path, headers=who.headers, trust_env=False, verify=TLS, timeout=30) as response:
        assert response.status_code == 200
        lines = response.iter_lines()
        assert all(next(lines) or path == "/events" for _ in range(5))
        database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")
        received = list(lines)
    assert received, "and the response is complete, else the client raises"
    wait_until(lambda: ends == ["source closed"])
    wait_until(lambda: auth.guarded_connections == 0)
    assert auth.counters["identified"] == 1
    for headers in ({}, who.headers, cookie(new_token())):
        assert httpx.get(url + path, headers=headers, trust_env=False, verify=TLS).status_code == 401
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_client_that_leaves_ends_its_stream(database: Database, make_auth: MakeAuth, serve: Serve) -> None:
    auth = make_auth(recheck_seconds=3600)
    ends: list[str] = []
    url = serve(fastapi_application(auth, ends))
    for path in ("/events", "/stream", "/inside"):
        with httpx.stream("GET", url + path, headers=database.sign_in().headers, trust_env=False, verify=TLS) as each:
            next(each.iter_lines())
        wait_until(lambda: auth.guarded_connections == 0)
        wait_until(lambda: bool(ends) and ends.pop() == "source closed")


def test_long_work_learns_that_the_session_has_ended(database: Database, make_auth: MakeAuth, serve: Serve) -> None:
    auth = make_auth(recheck_seconds=3600)
    ends: list[str] = []
    url = serve(fastapi_application(auth, ends))
    who = database.sign_in()

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, verify=TLS, timeout=30) as client:
            response = asyncio.create_task(client.get(f"{url}/work", headers=who.headers))
            await until(lambda: ends == ["working"])
            assert auth.disconnect(session_id=who.session_id) == 1
            return await response

    assert asyncio.run(main()).json() == "session ended"


# --- until_ended, without a server


def request_of(who: SignedIn) -> Request:
    headers = [(b"cookie", f"{COOKIE_NAME}={who.cookie_value}".encode())]
    return Request({"type": "http", "method": "GET", "headers": headers})


async def test_the_source_runs_in_the_task_that_iterates(database: Database, make_auth: MakeAuth) -> None:
    """Time-outs, task groups and context variables of a source belong to a task."""
    auth, who = make_auth(recheck_seconds=3600), database.sign_in()
    variable = contextvars.ContextVar[str]("variable", default="unset")
    seen: list[object] = []

    async def source() -> AsyncIterator[int]:
        async with asyncio.timeout(3600), asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(0))
            for number in range(3):
                seen.append((asyncio.current_task(), variable.get()))
                yield number

    async with auth.guard_request(request_of(who)) as guard:
        variable.set("set")
        assert [number async for number in guard.until_ended(source())] == [0, 1, 2]
        assert seen == [(asyncio.current_task(), "set")] * 3
        assert not guard.ended.done()


async def test_a_source_that_waits_is_cancelled_and_nothing_else(database: Database, make_auth: MakeAuth) -> None:
    auth, who = make_auth(recheck_seconds=3600), database.sign_in()
    steps: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    async with asyncio.timeout(TIMEOUT_SECONDS), auth.guard_request(request_of(who)) as guard:
        async for number in guard.until_ended(source()):
            steps.append(str(number))
            auth.disconnect(user_id=who.user_id)
        assert steps == ["1", "cancelled", "cleaned up"]
        assert await guard.ended == "session ended"
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert [number async for number in guard.until_ended(source())] == []


async def test_an_end_between_two_items_interrupts_nothing(database: Database, make_auth: MakeAuth) -> None:
    auth, who = make_auth(recheck_seconds=3600), database.sign_in()
    async with asyncio.timeout(TIMEOUT_SECONDS), auth.guard_request(request_of(who)) as guard:
        received: list[int] = []
        async for number in guard.until_ended(ticks([])):
            received.append(number)
            if number == 1:
                auth.disconnect(user_id=who.user_id)
                await guard.ended
                await asyncio.sleep(0.01)  # the consumer is not cancelled where it waits
        assert received == [0, 1]


async def test_a_source_that_swallows_its_cancellation_ends_too(database: Database, make_auth: MakeAuth) -> None:
    auth, who = make_auth(recheck_seconds=3600), database.sign_in()

    async def source() -> AsyncIterator[int]:
        yield 0
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                yield 1

    async with asyncio.timeout(TIMEOUT_SECONDS), auth.guard_request(request_of(who)) as guard:
        received: list[int] = []
        async for number in guard.until_ended(source()):
            received.append(number)
            auth.disconnect(user_id=who.user_id)
        assert received == [0]
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_somebody_elses_cancellation_is_passed_on(database: Database, make_auth: MakeAuth) -> None:
    auth, who = make_auth(recheck_seconds=3600), database.sign_in()
    ends: list[str] = []

    async def consume() -> None:
        async with auth.guard_request(request_of(who)) as guard:
            items = guard.until_ended(ticks(ends))
            while True:
                ends.append(str(await anext(items)))

    task = asyncio.create_task(consume())
    await until(lambda: "0" in ends)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert auth.guarded_connections == 0


async def test_errors_of_the_source_are_passed_on(database: Database, make_auth: MakeAuth) -> None:
    auth, who = make_auth(recheck_seconds=3600), database.sign_in()

    async def source() -> AsyncIterator[int]:
        yield 0
        raise LookupError("of the source")

    async with auth.guard_request(request_of(who)) as guard:
        with pytest.raises(LookupError, match="of the source"):
            [number async for number in guard.until_ended(source())]


async def test_a_guard_shares_the_lookup_of_the_request(database: Database, make_auth: MakeAuth) -> None:
    auth, who = make_auth(recheck_seconds=3600), database.sign_in()
    request = request_of(who)
    user = await auth.current_user(request)
    async with auth.guard_request(request) as first, auth.guard_request(request) as second:
        assert first.identity.user is second.identity.user is user
        assert auth.guarded_connections == 2
    assert auth.counters["identified"] == 1
