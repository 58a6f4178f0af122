"""What the API answers instead of what was asked for: status, message, type, param and code, in its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INVALID = "invalid_request_error"
INVALID_INPUT = (
    "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
)
BATCH_EXPIRED = "This request could not be executed before the completion window expired."
BATCH_CANCELLED = "This request was not executed because the batch was cancelled."


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - an answer, not a failure of this program
    """An answer with an error in it."""

    status: int
    message: str
    type: str = INVALID
    param: str | None = None
    code: str | None = None
    retry_after_s: float | None = None

    def body(self) -> dict[str, Any]:
        """The JSON object that the API sends."""
        return {"error": self.error()}

    def error(self) -> dict[str, Any]:
        """What stands in it, and in `response.body.error` of a line of a batch."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}

    def headers(self) -> dict[str, str]:
        """`retry-after`, in whole seconds where they are whole."""
        if self.retry_after_s is None:
            return {}
        return {
            "retry-after": f"{self.retry_after_s:g}",
            "retry-after-ms": f"{self.retry_after_s * 1000:.0f}",
        }


def invalid_input() -> Refusal:
    """An empty or misshapen `input`."""
    return Refusal(400, INVALID_INPUT)


def too_long(tokens: int, limit: int) -> Refusal:
    """One text of more tokens than the model reads: the API never truncates."""
    return Refusal(
        400,
        f"This model's maximum context length is {limit} tokens, however you requested {tokens} tokens "
        f"({tokens} in your prompt; 0 for the completion). Please reduce your prompt; or completion length.",
    )


def too_many_tokens(tokens: int, limit: int) -> Refusal:
    """All texts of a request together."""
    kind = "max_tokens_per_request"
    return Refusal(
        400, f"Requested {tokens} tokens, max {limit} tokens per request", type=kind, param=None, code=kind
    )


def too_many_items(count: int, limit: int) -> Refusal:
    """As servers with small caps word it."""
    return Refusal(400, f"batch size {count} > maximum allowed batch size {limit}", param="input")


def unknown_model(name: str) -> Refusal:
    """No such model here."""
    return Refusal(
        404, f"The model `{name}` does not exist or you do not have access to it.", code="model_not_found"
    )


def no_key() -> Refusal:
    """A request without credentials."""
    return Refusal(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    )


def wrong_key(key: str = "") -> Refusal:
    """Credentials that are not known; shown masked."""
    shown = f"{key[:3]}{'*' * 8}{key[-4:]}" if len(key) > 12 else "*" * 8
    return Refusal(
        401,
        f"Incorrect API key provided: {shown}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
    )


def forbidden() -> Refusal:
    """A project or a region that may not."""
    return Refusal(
        403, "Project does not have access to this resource.", type="permission_error", code="forbidden"
    )


def rate_limited(
    retry_after_s: float, model: str = "text-embedding-3-small", kind: str = "requests", limit: int = 3000
) -> Refusal:
    """Slow down: `kind` is requests or tokens."""
    short = "RPM" if kind == "requests" else "TPM"
    return Refusal(
        429,
        f"Rate limit reached for {model} in organization org-standin on {kind} per min ({short}): "
        f"Limit {limit}, Used {limit}, Requested 1. Please try again in {retry_after_s:g}s.",
        type=kind,
        code="rate_limit_exceeded",
        retry_after_s=retry_after_s,
    )


def no_money() -> Refusal:
    """The same status as a rate limit, and no use in trying again."""
    return Refusal(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        type="insufficient_quota",
        code="insufficient_quota",
    )


def hard_limit() -> Refusal:
    """The spending limit that the account's owner set."""
    return Refusal(
        400, "Billing hard limit has been reached.", type="billing_limit", code="billing_hard_limit_reached"
    )


def server_error(status: int = 500) -> Refusal:
    """Theirs."""
    return Refusal(
        status,
        "The server had an error while processing your request. Sorry about that!",
        type="server_error",
    )


def no_file(file_id: str, status: int = 404, param: str = "id") -> Refusal:
    """A file that is not, not yet, or no longer there."""
    return Refusal(status, f"No such File object: {file_id}", param=param)


def no_batch(batch_id: str) -> Refusal:
    """A batch that is not there, or not yet."""
    return Refusal(404, f"No batch found with id '{batch_id}'.")


def no_route(method: str, path: str) -> Refusal:
    """An address that this server does not have."""
    return Refusal(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str, path: str) -> Refusal:
    """An address that is asked in another way."""
    return Refusal(
        405,
        f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to make your HTTP request using a "
        "different HTTP method?)",
        code="method_not_supported",
    )
