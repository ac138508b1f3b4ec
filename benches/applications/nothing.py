"""A dependency that does nothing: the limit of what one that does something can reach."""

from typing import NamedTuple

from fastapi import FastAPI, Request

from benches.applications import protected


class Nobody(NamedTuple):
    name: str = "nobody"


async def get_nobody(request: Request) -> Nobody:  # noqa: ARG001 - the others' dependencies take it, too
    return NOBODY


NOBODY = Nobody()


def application() -> FastAPI:
    return protected(get_nobody)
