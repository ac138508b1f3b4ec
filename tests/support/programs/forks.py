"""Forks in the way that argv says and prints what each process was answered: `parent user-1 name`, `child user-1 name`.

The default instance's settings are in the environment; COOKIE_VALUE is what it is asked about.
"""

import asyncio
import gc
import multiprocessing
import os
import sys
from collections.abc import Callable

from auth_middleware import get_auth, validate_session

COOKIE_VALUE = os.environ["COOKIE_VALUE"]


async def ask(who: str) -> None:
    identity = await validate_session(COOKIE_VALUE)
    sys.stdout.write(f"{who} {identity.user.id} {identity.user.name}\n" if identity else f"{who} nobody\n")
    sys.stdout.flush()


def in_child(work: Callable[[], None]) -> None:
    """By os.fork; a child that fails makes us fail."""
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


def ask_as_child() -> None:
    asyncio.run(ask("child"))


def after_import() -> None:
    in_child(ask_as_child)
    asyncio.run(ask("parent"))


def after_use() -> None:
    asyncio.run(ask("parent"))
    in_child(ask_as_child)
    asyncio.run(ask("parent"))


def twice_removed() -> None:
    asyncio.run(ask("parent"))

    def child() -> None:
        ask_as_child()
        in_child(lambda: asyncio.run(ask("grandchild")))
        ask_as_child()

    in_child(child)
    asyncio.run(ask("parent"))


def under_a_running_loop() -> None:
    async def main() -> None:
        await ask("parent")
        under_way = [asyncio.create_task(ask("parent")) for _ in range(3)]
        await asyncio.sleep(0)
        in_child(ask_as_child)
        await asyncio.gather(*under_way)
        await ask("parent")

    asyncio.run(main())


def a_child_that_lets_go_of_all_it_has() -> None:
    """And the parent goes on with the very loop that it had."""
    runner = asyncio.Runner()
    runner.run(ask("parent"))

    def child() -> None:
        inherited = get_auth()
        asyncio.run(inherited.close())
        asyncio.run(inherited.validate_session(COOKIE_VALUE))
        ask_as_child()
        asyncio.run(inherited.close())
        get_auth.cache_clear()
        del inherited
        gc.collect()

    in_child(child)
    runner.run(ask("parent"))
    in_child(child)
    runner.run(ask("parent"))
    runner.close()


def by_multiprocessing() -> None:
    async def main() -> None:
        await ask("parent")
        children = [multiprocessing.get_context("fork").Process(target=ask_as_child) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            await asyncio.to_thread(child.join)
            if child.exitcode:
                sys.exit(f"a child ended with {child.exitcode}")
        await ask("parent")

    asyncio.run(main())


def a_child_that_never_asks() -> None:
    asyncio.run(ask("parent"))
    in_child(lambda: None)
    # An ordinary exit runs what was registered for the interpreter's end.
    child = os.fork()
    if child == 0:
        sys.exit(0)
    _, ended = os.waitpid(child, 0)
    if ended:
        sys.exit(f"the child ended with {ended}")
    asyncio.run(ask("parent"))


def closed_under_a_child() -> None:
    """The child has the parent's sockets too, until a line comes in."""

    async def main() -> int:
        await get_auth().open()
        await ask("parent")
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


WAYS = {
    way.__name__: way
    for way in (
        after_import,
        after_use,
        twice_removed,
        under_a_running_loop,
        a_child_that_lets_go_of_all_it_has,
        by_multiprocessing,
        a_child_that_never_asks,
        closed_under_a_child,
    )
}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()
