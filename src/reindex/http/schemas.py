"""The shapes of answers, for the OpenAPI document."""

from collections.abc import Mapping

Schema = Mapping[str, object]

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_INTEGER: Schema = {"type": "integer"}
_INTEGER_OR_NULL: Schema = {"type": ["integer", "null"]}
_NUMBER: Schema = {"type": "number"}
_FLAG: Schema = {"type": "boolean"}
_ANY: Schema = {"type": "object"}
_ANY_OR_NULL: Schema = {"type": ["object", "null"]}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_MOMENT_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}


def _object(properties: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _all(kind: Schema, names: str) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), kind)


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def reference(name: str) -> Schema:
    """To one of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


_BEHIND = _object({"documents": _INTEGER, "age_s": _NUMBER})

SCHEMAS: Mapping[str, Schema] = {
    "Problem": _object(_all(_TEXT, "type title detail hint") | _all(_INTEGER, "status exit_code")),
    "Hit": _object(
        _all(_INTEGER, "rank line_start line_end")
        | _all(_TEXT, "source path heading text chunk_id")
        | {"score": _NUMBER}
    ),
    "Search": _object(
        _all(_INTEGER, "generation version")
        | {
            "model": _TEXT,
            "degraded": _FLAG,
            "degraded_reason": _TEXT,
            "took_ms": _NUMBER,
            "hits": _list(reference("Hit")),
            "behind": _BEHIND,
        },
        optional=("degraded_reason", "behind"),
    ),
    "StoreStatus": _object(
        {
            "state": _TEXT,
            "reasons": _list(_TEXT),
            "daemon": _object(
                {"running": _FLAG, "pid": _INTEGER_OR_NULL, "url": _TEXT_OR_NULL, "version": _TEXT_OR_NULL}
            ),
            "live": _ANY_OR_NULL,
            "building": _ANY_OR_NULL,
            "behind": _BEHIND,
            "documents": _object(_all(_INTEGER, "total pending failed held")),
            "lag_s": _NUMBER,
            "jobs": {"type": "object", "additionalProperties": _INTEGER},
            "spend": _object({"tokens": _INTEGER, "usd": _NUMBER, "saved_usd": _NUMBER}),
            "paid_again": _object(_all(_INTEGER, "lost stuck now")),
        },
        optional=("behind",),
    ),
    "DocumentStatus": _object(
        {
            "path": _TEXT,
            "state": {"enum": ["indexed", "pending", "failed", "held", "ignored"]},
            "revision": _TEXT_OR_NULL,
            "indexed_at": _MOMENT_OR_NULL,
            "reason": _TEXT,
        }
    ),
    "Status": {"oneOf": [reference("StoreStatus"), reference("DocumentStatus")]},
    "Job": _ANY,
    "Jobs": _object({"jobs": _list(reference("Job")), "dead_letters": _list(reference("Job"))}),
    "Generations": _object({"live": _INTEGER_OR_NULL, "generations": _list(_ANY)}),
    "Difference": _object({"a": _INTEGER, "b": _INTEGER, "overlap": _NUMBER, "queries": _list(_ANY)}),
    "Task": _object(
        {
            "id": _INTEGER,
            "command": _TEXT,
            "options": _ANY,
            "state": {"enum": ["queued", "running", "succeeded", "failed"]},
            "created_at": _MOMENT,
            "started_at": _MOMENT_OR_NULL,
            "ended_at": _MOMENT_OR_NULL,
            "progress": _object(_all(_TEXT, "phase unit") | _all(_INTEGER, "total done documents chunks")),
            "messages": _list(_TEXT),
            "result": _ANY_OR_NULL,
            "exit_code": _INTEGER_OR_NULL,
            "error": _ANY_OR_NULL,
            "revision": _INTEGER,
        }
    ),
    "Tasks": _object({"tasks": _list(reference("Task"))}),
    "Document": _ANY,
}
