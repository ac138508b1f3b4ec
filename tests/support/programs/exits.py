"""Exits in the way that argv names while lookups are in progress, once a line arrives on standard input.

The environment has the default instance's settings, and COOKIE_VALUE, the cookie to look up.
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
    """The loop ends and cancels its remaining tasks."""
    lookups = [asyncio.create_task(validate_session(COOKIE_VALUE)) for _ in range(100)]
    await wait_for_a_line()
    assert not any(task.done() for task in lookups)


async def exiting() -> None:
    """Exits with SystemExit from a task."""
    lookup = asyncio.create_task(validate_session(COOKIE_VALUE))
    await wait_for_a_line()
    assert not lookup.done()
    sys.exit(0)


async def abandoning() -> None:
    """Cancels the waiting task, and exits before the store responds."""
    lookup = asyncio.create_task(validate_session(COOKIE_VALUE))
    await wait_for_a_line()
    lookup.cancel()


def in_a_daemon_thread() -> None:
    """The interpreter exits while the loop runs in another thread."""

    async def forever() -> None:
        await asyncio.gather(*(validate_session(COOKIE_VALUE) for _ in range(100)))

    threading.Thread(target=asyncio.run, args=(forever(),), daemon=True).start()
    sys.stdin.readline()


def in_a_busy_daemon_thread() -> None:
    """The interpreter exits while lookups keep finishing."""
    # The store is closed under the running thread at exit. The warning about it is expected.
    logging.getLogger("auth_middleware").addHandler(logging.NullHandler())
    is_busy = threading.Event()

    async def forever() -> None:
        while True:
            await asyncio.gather(*(validate_session(COOKIE_VALUE) for _ in range(100)), return_exceptions=True)
            is_busy.set()

    threading.Thread(target=asyncio.run, args=(forever(),), daemon=True).start()
    is_busy.wait()


IN_A_LOOP = {function.__name__: function for function in (returning, exiting, abandoning)}
IN_A_THREAD = {function.__name__: function for function in (in_a_daemon_thread, in_a_busy_daemon_thread)}

if __name__ == "__main__":
    if sys.argv[1] in IN_A_LOOP:
        asyncio.run(IN_A_LOOP[sys.argv[1]]())
    else:
        IN_A_THREAD[sys.argv[1]]()
