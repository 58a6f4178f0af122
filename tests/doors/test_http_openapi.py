"""The OpenAPI document: every route is in it, and it is what OpenAPI 3.1 says such a document is."""

import re

import pytest

from reindex.http.openapi import document
from reindex.http.routes import ROUTES
from reindex.http.schemas import SCHEMAS
from serving import serving

TYPES = {"string", "integer", "number", "boolean", "object", "array", "null"}
SCHEMA_WORDS = {
    "type", "description", "properties", "required", "items", "enum", "default", "format", "oneOf", "$ref",
    "additionalProperties", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
}  # fmt: skip


@pytest.fixture(scope="module")
def found():
    with serving() as client:
        return client.get("/openapi.json").json


def check_schema(schema, root):
    assert schema.keys() <= SCHEMA_WORDS, schema
    if "$ref" in schema:
        assert schema.keys() == {"$ref"}
        place, name = schema["$ref"].rsplit("/", 1)
        assert place == "#/components/schemas"
        assert name in root["components"]["schemas"]
        return
    kinds = schema.get("type", [])
    assert set([kinds] if isinstance(kinds, str) else kinds) <= TYPES
    assert kinds or schema.keys() & {"oneOf", "enum"}
    assert set(schema.get("required", [])) <= schema.get("properties", {}).keys()
    inner = [*schema.get("properties", {}).values(), *schema.get("oneOf", [])]
    inner += [schema["items"]] if "items" in schema else []
    if isinstance(schema.get("additionalProperties"), dict):
        inner.append(schema["additionalProperties"])
    for each in inner:
        check_schema(each, root)


def test_it_holds_every_route_and_no_other(found):
    listed = {(method.upper(), path) for path, item in found["paths"].items() for method in item}
    assert listed == {(route.method, route.path) for route in ROUTES}
    assert found == document(ROUTES)


def test_it_has_the_shape_of_openapi_3_1(found):
    assert re.fullmatch(r"3\.1\.\d+", found["openapi"])
    assert {"title", "version"} <= found["info"].keys()
    assert found.keys() <= {"openapi", "info", "paths", "components", "security"}
    identities = []
    for path, item in found["paths"].items():
        assert path.startswith("/")
        assert item.keys() <= {"get", "post"}
        for method, operation in item.items():
            assert operation.keys() <= {"operationId", "summary", "responses", "parameters", "requestBody"}
            identities.append(operation["operationId"])
            check_parameters(path, operation.get("parameters", []), found)
            assert "default" in operation["responses"]
            for status, response in operation["responses"].items():
                assert re.fullmatch(r"[1-5]\d\d|default", status)
                assert response["description"]
                check_content(response["content"], found)
            if "requestBody" in operation:
                assert method == "post"
                check_content(operation["requestBody"]["content"], found)
    assert len(identities) == len(set(identities))


def check_parameters(path, parameters, root):
    named = [(parameter["name"], parameter["in"]) for parameter in parameters]
    assert len(named) == len(set(named))
    assert {name for name, place in named if place == "path"} == set(re.findall(r"\{(\w+)\}", path))
    for parameter in parameters:
        assert parameter["in"] in {"path", "query"}
        assert parameter["required"] is True or parameter["in"] != "path"
        check_schema(parameter["schema"], root)


def check_content(content, root):
    for media, value in content.items():
        assert re.fullmatch(r"[a-z]+/[a-z+-]+", media)
        check_schema(value["schema"], root)


def test_every_schema_is_one_and_is_used(found):
    for schema in found["components"]["schemas"].values():
        check_schema(schema, found)
    used = set(re.findall(r"#/components/schemas/(\w+)", str(found)))
    assert used == set(SCHEMAS)


def test_answers_have_the_members_that_it_promises(found):
    schemas = found["components"]["schemas"]
    with serving() as client:
        answers = {
            "Search": client.get("/v1/search?query=x").json,
            "Hit": client.get("/v1/search?query=x").json["hits"][0],
            "Task": client.post("/v1/sync").json,
            "Problem": client.get("/nowhere").json,
        }
    for name, answer in answers.items():
        assert set(schemas[name]["required"]) <= answer.keys() <= schemas[name]["properties"].keys(), name
