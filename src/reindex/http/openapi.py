"""The OpenAPI document, made from the table of routes."""

from collections.abc import Sequence

from reindex import __version__
from reindex.http.fields import Field
from reindex.http.route import Route
from reindex.http.schemas import SCHEMAS, reference


def document(routes: Sequence[Route]) -> dict[str, object]:
    """All of them, as OpenAPI 3.1."""
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "reindex", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(route: Route) -> dict[str, object]:
    found: dict[str, object] = {
        "operationId": _operation_id(route),
        "summary": route.about,
        "responses": {
            str(route.status): {"description": route.about, "content": _content(route.answer)},
            "default": {
                "description": "Why not.",
                "content": {"application/problem+json": {"schema": reference("Problem")}},
            },
        },
    }
    parameters = [_parameter(field, "path") for field in route.path_fields]
    if route.method == "GET":
        parameters += [_parameter(field, "query") for field in route.fields]
    elif route.fields:
        found["requestBody"] = _body(route)
    if parameters:
        found["parameters"] = parameters
    return found


def _operation_id(route: Route) -> str:
    words = "".join(c if c.isalnum() else " " for c in route.path.removeprefix("/v1")).split()
    return "_".join([route.method.lower(), *words])


def _parameter(field: Field, place: str) -> dict[str, object]:
    return {
        "name": field.name,
        "in": place,
        "required": field.is_required,
        "description": field.about,
        "schema": field.schema(),
    }


def _body(route: Route) -> dict[str, object]:
    required = [field.name for field in route.fields if field.is_required]
    schema: dict[str, object] = {
        "type": "object",
        "properties": {field.name: field.schema() for field in route.fields},
        "additionalProperties": False,
    }
    if required:
        schema["required"] = required
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}


def _content(answer: str) -> dict[str, object]:
    if "/" in answer:
        return {answer: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": reference(answer)}}
