"""The input file of a batch: is it one, and what is in it."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reindex.dev_openai.options import Options

_PROBLEMS_MAX = 100

_UNPARSABLE = "This line is not parseable as valid JSON."
_NO_ID = "Missing required parameter: 'custom_id'."
_DUPLICATE = (
    "The custom_id for this request is a duplicate of another request. "
    "The custom_id parameter must be unique for each request in a batch."
)
_OTHER_URL = "The URL provided for this request does not match the batch endpoint."
_OTHER_METHOD = "Invalid method. Expected 'POST'."
_OTHER_MODEL = (
    "The model for this request does not match the rest of the batch. "
    "Each batch must contain requests for a single model."
)
_EMPTY = "The batch input file is empty. Please ensure that the batch contains at least one request."


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a batch failed; `line` counts from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def to_json(self) -> dict[str, Any]:
        """An item of `errors.data`."""
        return {"code": self.code, "line": self.line, "message": self.message, "param": self.param}


@dataclass(slots=True)
class Contents:
    """What an input file asks for. `offsets`: where in the file each request begins, in bytes."""

    path: Path
    offsets: array[int] = field(default_factory=lambda: array("q"))
    tokens: int = 0
    inputs: int = 0
    model: str = ""


def read_input(path: Path, endpoint: str, options: Options) -> tuple[Contents, list[Problem]]:
    """Read it line by line. With problems, at most 100, nothing of it is run."""
    contents = Contents(path)
    problems: list[Problem] = []
    ids: set[str] = set()
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip() and len(problems) < _PROBLEMS_MAX:
                contents.offsets.append(offset)
                problem = _check_line(line, number, endpoint, contents, ids, options)
                if problem is not None:
                    problems.append(problem)
            offset += len(line)
    return contents, problems or _check_whole(contents, options)


def _check_line(
    line: bytes, number: int, endpoint: str, contents: Contents, ids: set[str], options: Options
) -> Problem | None:
    try:
        request = json.loads(line)
    except ValueError:
        request = None
    if not isinstance(request, dict) or not isinstance(request.get("body"), dict):
        return Problem("invalid_json_line", _UNPARSABLE, number)
    problem = _check_envelope(request, number, endpoint, ids)
    if problem is None:
        problem = _check_model(str(request["body"].get("model")), number, contents, options)
    if problem is None:
        _count(request["body"].get("input"), contents, options)
    return problem


def _check_envelope(request: dict[str, Any], number: int, endpoint: str, ids: set[str]) -> Problem | None:
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        return Problem("missing_required_parameter", _NO_ID, number, "custom_id")
    if custom_id in ids:
        return Problem("duplicate_custom_id", _DUPLICATE, number, "custom_id")
    ids.add(custom_id)
    if request.get("method") != "POST":
        return Problem("invalid_method", _OTHER_METHOD, number, "method")
    if request.get("url") != endpoint:
        return Problem("url_mismatch", _OTHER_URL, number, "url")
    return None


def _check_model(model: str, number: int, contents: Contents, options: Options) -> Problem | None:
    if contents.model and model != contents.model:
        return Problem("model_mismatch", _OTHER_MODEL, number, "body.model")
    contents.model = model
    if model not in options.models:
        message = f"The provided model '{model}' is not supported by the Batch API."
        return Problem("model_not_found", message, number, "body.model")
    return None


def _count(value: Any, contents: Contents, options: Options) -> None:
    """Inputs that are none are counted too: their lines fail by themselves."""
    is_many = isinstance(value, list) and not all(isinstance(item, int) for item in value)
    for item in value if is_many else [value]:
        contents.inputs += 1
        contents.tokens += len(item) if isinstance(item, list) else options.count_tokens(str(item))


def _check_whole(contents: Contents, options: Options) -> list[Problem]:
    if not contents.offsets:
        return [Problem("empty_file", _EMPTY)]
    if len(contents.offsets) > options.batch_lines_max:
        message = (
            f"The batch input file contains more than the maximum of {options.batch_lines_max} requests."
        )
        return [Problem("too_many_tasks", message)]
    if contents.inputs > options.batch_inputs_max:
        message = f"The batch contains more than the maximum of {options.batch_inputs_max} embedding inputs."
        return [Problem("too_many_tasks", message)]
    return []
