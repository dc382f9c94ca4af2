"""The JSON that comes and goes, as OpenAPI describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from genrec.web.limits import Limits


def _whole(value: Any) -> Any:
    """In JSON, 10.0 is 10."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Key = Annotated[str, Field(max_length=1000)]
"""The key of an item."""


class _Asked(BaseModel):
    """Nothing is turned into another kind, and a name that is mistyped is told."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NewItem(_Asked):
    """An item to add, with the fields of `genrec.data.Catalog`."""

    item: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
    title: Annotated[str, Field(max_length=10_000)] | None = None
    brand: Annotated[str, Field(max_length=10_000)] | None = None
    description: Annotated[str, Field(max_length=100_000)] | None = None
    categories: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=100)] | None = None
    price: Annotated[float, Field(allow_inf_nan=False)] | None = None
    tags: Annotated[str, Field(max_length=10_000)] | None = None


class Asked(_Asked):
    """`POST /recommend`."""

    histories: list[list[Key]]
    k: Whole = Field(10, ge=1)
    run: str | None = None
    allowed: list[Key] | None = None
    exclude: list[Key] | None = None
    repeats: bool = False
    unknown: Literal["error", "skip"] = "error"
    explain: bool = False


class Additions(_Asked):
    """`POST /items`."""

    items: list[NewItem]
    run: str | None = None


def bounded(limits: Limits) -> tuple[type[Asked], type[Additions]]:
    """The two with a server's limits."""
    histories = Annotated[
        list[Annotated[list[Key], Field(max_length=limits.length)]], Field(min_length=1, max_length=limits.histories)
    ]
    items = Annotated[list[NewItem], Field(min_length=1, max_length=limits.items)]
    k = (Whole, Field(min(10, limits.k), ge=1, le=limits.k))
    asked: Any = create_model("Recommend", __base__=Asked, histories=(histories, ...), k=k)
    return asked, create_model("AddItems", __base__=Additions, items=(items, ...))


class Recommended(BaseModel):
    """An item of a list."""

    item: str
    title: str
    score: float
    slots: list[float] | None


class User(BaseModel):
    """A user's list, and the keys of his history that were left out."""

    items: list[Recommended]
    skipped: list[str]


class Recommendations(BaseModel):
    """The answer of `POST /recommend`."""

    run: str
    generation: int
    slots: list[str] | None
    users: list[User]


class Found(BaseModel):
    """An item of a search."""

    item: str
    title: str
    categories: list[str]
    warm: bool


class Search(BaseModel):
    """The answer of `GET /items`."""

    run: str
    found: int
    items: list[Found]


class Item(Found):
    """The answer of `GET /items/{key}`."""

    run: str
    brand: str | None
    description: str | None
    price: float | None
    tags: str | None
    taken: int
    identifier: str | None
    codes: list[int] | None


class Near(Found):
    """An item near another."""

    alike: float


class Similar(BaseModel):
    """The answer of `GET /similar/{key}`."""

    run: str
    item: str
    by: str
    unit: str
    items: list[Near]


class Added(BaseModel):
    """The answer of `POST /items`."""

    run: str
    generation: int
    added: int
    items: int


class About(BaseModel):
    """A recommender that is served."""

    run: str
    method: str
    language_model: str | None
    dataset: str
    generation: int
    items: int
    warm: int
    added: int
    adds_items: bool
    max_history: int
    device: str
    index: str | None
    slots: list[str] | None
    metrics: dict[str, dict[str, float]] | None


class Info(BaseModel):
    """The answer of `GET /info`."""

    genrec: str
    runs: list[About]
    limits: dict[str, int]


class State(BaseModel):
    """The answer of `GET /health` and `GET /ready`."""

    status: Literal["alive", "ready"]


class Refused(BaseModel):
    """Every answer from 400 on."""

    error: str
    where: str | None
    request: str
