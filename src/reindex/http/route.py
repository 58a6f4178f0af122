"""What a route is, and the options that stand in paths."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.responses import Response

from reindex.http.api import Api, Call
from reindex.http.fields import Field, FieldKind

NUMBER_MAX = 2**53


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path. A GET takes its fields in the query, a POST as a JSON body. `answer` is a schema
    of the OpenAPI document, or a media type where it is not JSON.
    """

    method: str
    path: str
    about: str
    handler: Callable[[Api, Call], Awaitable[Response]]
    answer: str
    fields: tuple[Field, ...] = ()
    status: int = 200

    @property
    def path_fields(self) -> tuple[Field, ...]:
        """Those that stand in its path."""
        return tuple(PATH_FIELDS[name] for name in re.findall(r"\{(\w+)\}", self.path))


def number_field(name: str, about: str, *, is_required: bool = False) -> Field:
    """Of something that is counted from 1."""
    return Field(name, FieldKind.INTEGER, about, is_required=is_required, minimum=1, maximum=NUMBER_MAX)


PATH_FIELDS: Mapping[str, Field] = {
    "generation": number_field("generation", "Its number.", is_required=True),
    "task": number_field("task", "Its number.", is_required=True),
    "job": Field(
        "job", FieldKind.TEXT, "A job (7) or a dead letter (d3).", is_required=True, minimum=1, maximum=20
    ),
}
