"""Ends, in the way that argv says, while look-ups are under way; `main` goes on when a line comes in.

The default instance's settings are in the environment; COOKIE_VALUE is what it is asked about.
"""

import asyncio
import logging
import os
import sys
import threading

from auth_middleware import validate_session

COOKIE_VALUE = os.environ["COOKIE_VALUE"]


async def wait_for_a_line() -> None:
    await asyncio.to_thread(sys.stdin.readline)


async def returning() -> None:
    """The loop ends and cancels what it still has."""
    asking = [asyncio.create_task(validate_session(COOKIE_VALUE)) for _ in range(100)]
    await wait_for_a_line()
    assert not any(task.done() for task in asking)


async def exiting() -> None:
    """By SystemExit out of a task."""
    asking = asyncio.create_task(validate_session(COOKIE_VALUE))
    await wait_for_a_line()
    assert not asking.done()
    sys.exit(0)


async def abandoning() -> None:
    """The awaiting task is cancelled, but the interpreter ends before the store answers."""
    asking = asyncio.create_task(validate_session(COOKIE_VALUE))
    await wait_for_a_line()
    asking.cancel()


def in_a_daemon_thread() -> None:
    """The loop does not end at all: the interpreter does."""

    async def forever() -> None:
        await asyncio.gather(*(validate_session(COOKIE_VALUE) for _ in range(100)))

    threading.Thread(target=asyncio.run, args=(forever(),), daemon=True).start()
    sys.stdin.readline()


def in_a_busy_daemon_thread() -> None:
    """Answers come in all the time while the interpreter ends."""
    # The store is closed under the thread when the interpreter ends; its warning is no failure.
    logging.getLogger("auth_middleware").addHandler(logging.NullHandler())
    is_busy = threading.Event()

    async def forever() -> None:
        while True:
            await asyncio.gather(*(validate_session(COOKIE_VALUE) for _ in range(100)), return_exceptions=True)
            is_busy.set()

    threading.Thread(target=asyncio.run, args=(forever(),), daemon=True).start()
    is_busy.wait()


IN_A_LOOP = {way.__name__: way for way in (returning, exiting, abandoning)}
IN_A_THREAD = {way.__name__: way for way in (in_a_daemon_thread, in_a_busy_daemon_thread)}

if __name__ == "__main__":
    if sys.argv[1] in IN_A_LOOP:
        asyncio.run(IN_A_LOOP[sys.argv[1]]())
    else:
        IN_A_THREAD[sys.argv[1]]()
