"""`make_user` and `make_session`: sensible values, for own models too."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import (
    BaseModel,
    Field,
    FutureDate,
    HttpUrl,
    NegativeFloat,
    PositiveInt,
    SecretBytes,
    SecretStr,
    StringConstraints,
    ValidationError,
    create_model,
    field_validator,
)
from starlette.testclient import TestClient
from typing_extensions import TypedDict

from auth_middleware import Auth, AuthMiddleware, AuthSession, AuthUser
from auth_middleware.testing import AuthTestKit, make_session, make_user, signed_in


class Plan(Enum):
    FREE = "free"
    PRO = "pro"


class Rich(AuthUser):
    """A field of each kind that a column may have, all of them required."""

    id: UUID  # type: ignore[assignment]
    nick: str
    is_active: bool
    logins: int
    score: float
    balance: Decimal
    born: date
    seen_at: datetime
    plan: Plan
    level: Literal["bronze", "silver"]
    tags: list[str]
    profile: dict[str, int]
    referrer: str | None
    reference: UUID
    colour: str = Field(validation_alias="preferredColour")
    limited: Annotated[int, Field(ge=0)]


def test_each_user_and_session_is_new() -> None:
    users = [make_user() for _ in range(3)]
    assert len({user.id for user in users}) == len({user.email for user in users}) == 3
    sessions = [make_session() for _ in range(3)]
    assert len({session.id for session in sessions}) == len({session.token for session in sessions}) == 3
    [user, session] = users[0], sessions[0]
    assert (type(user), type(session)) == (AuthUser, AuthSession)
    assert user.email_verified
    assert timedelta(days=6) < session.expires_at - datetime.now(UTC) < timedelta(days=8)


def test_fields_are_as_they_were_passed() -> None:
    user = make_user(id="ada", name="Ada", email="ada@example.com", image="https://example.com/a.png")
    assert (user.id, user.name, user.email, user.image) == (
        "ada",
        "Ada",
        "ada@example.com",
        "https://example.com/a.png",
    )
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert make_session(user_id=user.id, expires_at=at).expires_at == at
    assert make_user(name="Zoë Ünal").email.endswith("@example.com")
    assert make_user(name="").name == ""


def test_an_own_model_has_a_value_for_each_required_field() -> None:
    rich = make_user(Rich, nick="a", colour="blue", plan=Plan.PRO)
    assert (rich.nick, rich.colour, rich.plan, rich.level, rich.referrer) == ("a", "blue", Plan.PRO, "bronze", None)
    assert make_user(Rich).id != make_user(Rich).id


def test_fields_that_no_model_declares_are_kept_for_one_that_does() -> None:
    class Sailor(AuthUser):
        ship: str

    class Watch(AuthSession):
        bell: int

    own_models = Sailor, Watch
    user = make_user(ship="Beagle")
    assert type(user) not in own_models
    assert isinstance(user, AuthUser)
    assert user.model_dump()["ship"] == "Beagle"
    assert make_session(bell=8).model_dump()["bell"] == 8


def test_unknown_and_unfitting_fields_are_errors() -> None:
    class Member(AuthUser):
        role: str

    class Impossible(AuthUser):
        callback: type

    with pytest.raises(TypeError, match="Member has no field rol: did you mean role"):
        make_user(Member, rol="admin")
    with pytest.raises(TypeError, match=r"Impossible\.callback is required.*pass callback=…"):
        make_user(Impossible)
    with pytest.raises(ValidationError, match="email"):
        make_user(email=None)


@pytest.mark.parametrize(
    ("make", "fields", "message"),
    [
        (make_user, {"nmae": "Bob"}, "AuthUser has no field nmae: did you mean name"),
        (make_user, {"emailVerifed": True}, "AuthUser has no field emailVerifed: did you mean email_verified"),
        (make_session, {"expires_in": 5}, "AuthSession has no field expires_in: did you mean expires_at"),
        (make_user, {"email_verified": True, "emailVerified": False}, "email_verified is given twice"),
    ],
)
def test_fields_that_no_model_has_are_errors(make: Callable[..., object], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make(**fields)


def test_aliases_and_camel_case_stand_for_the_field() -> None:
    assert not make_user(emailVerified=False).email_verified
    assert make_session(ipAddress="192.0.2.1").ip_address == "192.0.2.1"
    assert make_user(Rich, preferredColour="blue", isActive=True).colour == "blue"
    assert make_user(preferredColour="blue").model_dump()["colour"] == "blue"


@pytest.mark.parametrize("fields", [{"roel": "admin"}, {"user": make_user()}, {"user_id": "ada"}, {"devise": "phone"}])
def test_fields_that_nothing_has_are_errors_of_signed_in(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"no field {next(iter(fields))}"), signed_in(FastAPI(), **fields):
        pytest.fail("the block ran")


def test_fields_of_an_own_session_reach_the_session(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DATABASE_URL", raising=False)

    class Visit(AuthSession):
        active_team: str = Field(alias="activeTeamName")

    visits = Auth(user_model=Rich, session_model=Visit)
    app = FastAPI()

    @app.get("/")
    async def visit(
        session: Annotated[Visit, Depends(visits.current_session)], user: Annotated[Rich, Depends(visits.current_user)]
    ) -> list[str | None]:
        return [session.active_team, session.ip_address, user.nick]

    for name in ("active_team", "activeTeam", "activeTeamName"):
        with signed_in(app, **{name: "navy"}, ipAddress="192.0.2.1", nick="a") as identity:
            assert TestClient(app).get("/").json() == ["navy", "192.0.2.1", "a"]
            assert identity.session.model_dump()["active_team"] == "navy"


@pytest.mark.parametrize("how", ["signed_in", "login", "cookie cache"])
def test_every_kind_of_field_arrives_as_it_left(how: str, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DATABASE_URL", raising=False)
    given = make_user(Rich, seen_at=datetime(2026, 1, 15, 12, tzinfo=UTC), balance=Decimal("1.50"), tags=["a"])
    kit = AuthTestKit(user_model=Rich, freshness="cookie_cache" if how == "cookie cache" else "always")
    auth = Auth(user_model=Rich) if how == "signed_in" else kit.auth
    app = FastAPI()
    found: list[Rich] = []

    @app.get("/me")
    async def me(user: Annotated[Rich, Depends(auth.current_user)]) -> None:
        found.append(user)

    client = TestClient(app)
    if how == "signed_in":
        with signed_in(app, **{name: getattr(given, name) for name in Rich.model_fields}):
            assert client.get("/me").status_code == 200
    else:
        headers = kit.login(given, cookie_cache=how == "cookie cache").headers
        assert client.get("/me", headers=headers).status_code == 200
        assert kit.lookups == (how == "login")
    assert found == [given]


class Address(BaseModel):
    city: str
    code: Annotated[str, Field(alias="postCode", min_length=5)]


class Size(TypedDict):
    width: PositiveInt


@dataclass
class Point:
    x: float


@pytest.mark.parametrize(
    "annotation",
    [
        bytes,
        time,
        timedelta,
        HttpUrl,
        IPv4Address,
        Path,
        SecretStr,
        SecretBytes,
        int | str,
        UUID | int,
        PositiveInt,
        NegativeFloat,
        FutureDate,
        Address,
        Size,
        Point,
        list[Address],
        tuple[int, Address],
        Literal[3, 4],
        Annotated[str, StringConstraints(min_length=8, max_length=10)],
        Annotated[str, StringConstraints(pattern="^[a-z]+$")],
        Annotated[int, Field(gt=10, lt=12)],
        Annotated[float, Field(gt=0, lt=0.5)],
        Annotated[int, Field(ge=11, multiple_of=5)],
        Annotated[Decimal, Field(gt=Decimal(5))],
        Annotated[list[int], Field(min_length=2)],
        Annotated[set[str], Field(min_length=2)],
    ],
    ids=str,
)
@pytest.mark.parametrize("how", ["login", "signed_in"])
def test_a_value_is_generated_for_each_kind_of_field(
    annotation: Any, how: str, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("DATABASE_URL", raising=False)
    model: Any = create_model("Own", __base__=AuthUser, extra=(annotation, ...))
    kit = AuthTestKit(user_model=model)
    auth: Auth[Any, Any] = kit.auth if how == "login" else Auth(user_model=model)
    app = FastAPI()
    found: list[Any] = []

    @app.get("/")
    async def me(user: Annotated[Any, Depends(auth.current_user)]) -> None:
        found.append(user.extra)

    if how == "login":
        login = kit.login(make_user(model))
        assert TestClient(app).get("/", headers=login.headers).status_code == 200
        assert found == [login.user.extra]
    else:
        with signed_in(app):
            assert TestClient(app).get("/").status_code == 200
        assert len(found) == 1


def test_a_field_without_a_generated_value_is_named() -> None:
    class Phone(BaseModel):
        number: Annotated[str, Field(pattern="^q{7}$")]

    annotations: list[Any] = [Phone, Annotated[str, Field(pattern="^q{7}$")], Callable[[], int]]
    for annotation in annotations:
        model: Any = create_model("Own", __base__=AuthUser, phone=(annotation, ...))
        with pytest.raises(TypeError, match=r"Own\.phone is required.*pass phone=…"):
            make_user(model)


class Caller(AuthUser):
    phone: Annotated[str, Field(pattern="^q{7}$")]


class Call(AuthSession):
    line: Annotated[str, Field(pattern="^q{7}$")]


def routed(app: FastAPI, dependency: Any) -> FastAPI:
    router = APIRouter()

    @router.get("/")
    async def route(_: Annotated[Any, Depends(dependency)]) -> None: ...

    app.include_router(router, prefix="/routed")
    return app


def nested_dependency(callers: Auth[Any, Any]) -> FastAPI:
    async def caller(user: Annotated[Any, Depends(callers.current_user)]) -> object:
        return user

    return routed(FastAPI(), caller)


def mounted(callers: Auth[Any, Any]) -> FastAPI:
    app = FastAPI()
    app.mount("/inner", nested_dependency(callers))
    return app


def with_middleware(callers: Auth[Any, Any]) -> FastAPI:
    app = FastAPI()
    app.add_middleware(AuthMiddleware, auth=callers)
    return app


@pytest.mark.parametrize("application", [nested_dependency, mounted, with_middleware])
@pytest.mark.parametrize(
    ("models", "field"), [({"user_model": Caller}, "Caller.phone"), ({"session_model": Call}, "Call.line")]
)
def test_signed_in_names_a_field_without_a_generated_value(
    application: Callable[[Auth[Any, Any]], FastAPI], models: Any, field: str
) -> None:
    app = application(Auth(**models))
    with pytest.raises(TypeError, match=f"{field} is required"), signed_in(app):
        pytest.fail("the block ran")
    with pytest.raises(ValidationError), signed_in(app, phone="wrong", line="wrong"):
        pytest.fail("the block ran")
    with signed_in(app, phone="qqqqqqq", line="qqqqqqq"):
        pass


def test_a_generated_value_that_a_validator_refuses_is_an_error_that_names_the_field() -> None:
    class Employee(AuthUser):
        badge: str

        @field_validator("badge")
        @classmethod
        def _known(cls, value: str) -> str:
            if not value.startswith("ACME-"):
                raise ValueError("no badge of ours")
            return value

    with pytest.raises(TypeError, match=r"Employee\.badge does not fit: .*no badge of ours.*badge=…"):
        make_user(Employee)
    assert make_user(Employee, badge="ACME-1").badge == "ACME-1"
    with pytest.raises(ValidationError, match="no badge of ours"):
        make_user(Employee, badge="1")
