"""A dependency that does nothing: the upper bound for any dependency that does something."""

from typing import NamedTuple

from fastapi import FastAPI, Request

from benches.contenders.applications import protected


class User(NamedTuple):
    name: str = "nobody"


USER = User()


async def get_constant_user(request: Request) -> User:  # noqa: ARG001 - the other dependencies take it too
    return USER


def application() -> FastAPI:
    return protected(get_constant_user)
