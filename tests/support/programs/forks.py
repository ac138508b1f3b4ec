"""Forks in the way that argv names. Each process prints its result: `parent user-1 name`, `child user-1 name`.

The environment has the default instance's settings, and COOKIE_VALUE, the cookie to look up.
"""

import asyncio
import gc
import multiprocessing
import os
import sys
from collections.abc import Callable

from auth_middleware import get_auth, validate_session

COOKIE_VALUE = os.environ["COOKIE_VALUE"]


async def look_up(process: str) -> None:
    identity = await validate_session(COOKIE_VALUE)
    sys.stdout.write(f"{process} {identity.user.id} {identity.user.name}\n" if identity else f"{process} nobody\n")
    sys.stdout.flush()


def in_child(work: Callable[[], None]) -> None:
    """Runs the function in a forked child, and exits with an error if the child fails."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if ended:
        sys.exit(f"the child ended with {ended}")


def look_up_in_child() -> None:
    asyncio.run(look_up("child"))


def after_import() -> None:
    in_child(look_up_in_child)
    asyncio.run(look_up("parent"))


def after_use() -> None:
    asyncio.run(look_up("parent"))
    in_child(look_up_in_child)
    asyncio.run(look_up("parent"))


def twice_removed() -> None:
    asyncio.run(look_up("parent"))

    def child() -> None:
        look_up_in_child()
        in_child(lambda: asyncio.run(look_up("grandchild")))
        look_up_in_child()

    in_child(child)
    asyncio.run(look_up("parent"))


def under_a_running_loop() -> None:
    async def main() -> None:
        await look_up("parent")
        lookups = [asyncio.create_task(look_up("parent")) for _ in range(3)]
        await asyncio.sleep(0)
        in_child(look_up_in_child)
        await asyncio.gather(*lookups)
        await look_up("parent")

    asyncio.run(main())


def a_child_that_closes_what_it_inherited() -> None:
    """The parent keeps using its event loop."""
    runner = asyncio.Runner()
    runner.run(look_up("parent"))

    def child() -> None:
        inherited = get_auth()
        asyncio.run(inherited.close())
        asyncio.run(inherited.validate_session(COOKIE_VALUE))
        look_up_in_child()
        asyncio.run(inherited.close())
        get_auth.cache_clear()
        del inherited
        gc.collect()

    in_child(child)
    runner.run(look_up("parent"))
    in_child(child)
    runner.run(look_up("parent"))
    runner.close()


def by_multiprocessing() -> None:
    async def main() -> None:
        await look_up("parent")
        children = [multiprocessing.get_context("fork").Process(target=look_up_in_child) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            await asyncio.to_thread(child.join)
            if child.exitcode:
                sys.exit(f"a child ended with {child.exitcode}")
        await look_up("parent")

    asyncio.run(main())


def a_child_that_looks_up_nothing() -> None:
    asyncio.run(look_up("parent"))
    in_child(lambda: None)
    # A regular exit, which runs the exit handlers.
    child = os.fork()
    if child == 0:
        sys.exit(0)
    _, ended = os.waitpid(child, 0)
    if ended:
        sys.exit(f"the child ended with {ended}")
    asyncio.run(look_up("parent"))


def closed_while_a_child_lives() -> None:
    """The child holds copies of the parent's sockets until a line arrives on standard input."""

    async def main() -> int:
        await get_auth().open()
        await look_up("parent")
        until_closed, open_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(open_end)
            os.read(until_closed, 1)
            os._exit(0)
        await get_auth().close()
        sys.stdout.write("closed\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        os.close(open_end)
        return child

    os.waitpid(asyncio.run(main()), 0)


SCENARIOS = {
    function.__name__: function
    for function in (
        after_import,
        after_use,
        twice_removed,
        under_a_running_loop,
        a_child_that_closes_what_it_inherited,
        by_multiprocessing,
        a_child_that_looks_up_nothing,
        closed_while_a_child_lives,
    )
}

if __name__ == "__main__":
    SCENARIOS[sys.argv[1]]()
