"""Every failure of the SDK and of HTTP below it as one of ours: refused, or out of reach and how long."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from reindex.core.batches import REQUEST_TOO_LARGE
from reindex.embedders.openai_client import KEY_VARIABLE, Account, OpenAIConnection
from reindex.embedders.rate_limit_headers import Headers, asked_wait_s, exhausted_wait_s
from reindex.errors import EmbeddingError, OutageError, RefusedError, ReindexError

if TYPE_CHECKING:
    from openai import OpenAI

T = TypeVar("T")

TEXT_TOO_LONG = "context_length_exceeded"
NOT_UNICODE = "not_unicode"
NO_MONEY = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated"}
)

_PASSING = frozenset({408, 409, 425, 429})
_NOT_THERE = frozenset({404, 405, 410, 501})
_TOO_LONG_WORDS = ("context length", "must have less than", "input is too long")
_TOO_LARGE_WORDS = ("request too large", "batch size", "too many inputs")
_LASTING = {
    401: ("does not take the key", f"Set ${KEY_VARIABLE} to a key that it takes."),
    402: (
        "has no money left for this account",
        "Add credit, or raise the limit of spending in the account; the next run goes on.",
    ),
    403: ("forbids this", "May this key's project use the model, and from here?"),
    407: ("is behind a proxy that wants a password", "Correct $HTTPS_PROXY."),
}
_SETUP_HINTS = {  # what a refusal complains of that is no text's fault, and which setting it is
    "dimensions": "Set [embedding.openai] send_dimensions = false: vectors are then cut here.",
    "encoding_format": "Set [embedding.openai] has_base64 = false.",
    "model": "Correct [embedding] model.",
}
_SETUP_PHRASES = {
    "dimensions": ("specifying dimensions", "output dimensions", "matryoshka"),
    "encoding_format": ("encoding_format", "base64"),
    "model": (),
}
_OWN_WORDS_CHARACTERS_MAX = 200


def ask(
    connection: OpenAIConnection,
    doing: str,
    call: Callable[[OpenAI], T],
    learn: Callable[[Headers], None] = lambda _: None,
) -> T:
    """What `call` gives for the client. Its failures are raised as ours, without the originals, which hold
    the request with its key; `learn` is told the headers of an answer that is one.

    Raises RefusedError and OutageError, and AccountError where there can be no client.
    """
    client = connection.client
    try:
        return call(client)
    except ReindexError:
        raise
    except Exception as error:  # noqa: BLE001 (what is no failure of a request is raised again)
        response = getattr(error, "response", None)
        if response is not None:
            learn(response.headers)
        failure = failure_of(error, connection.account, doing)
    raise failure


def failure_of(error: Exception, account: Account, doing: str) -> EmbeddingError:
    """What to raise in place of an exception of openai or httpx2: a RefusedError or an OutageError.

    `doing` says in a few words what was asked ("embedding 12 texts"). What is none of theirs is a bug, and
    raised again.
    """
    import httpx2
    import openai

    if isinstance(error, openai.APIStatusError):
        return _Answered(error.response, error.body, account, doing).failure()
    if isinstance(error, UnicodeEncodeError):
        words = f"{doing}: the text has characters that are no Unicode, which JSON can't carry"
        return RefusedError(words, "Mend the document's encoding.", code=NOT_UNICODE)
    if isinstance(error, (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError, ssl.SSLError)):
        return _unanswered(error, account, doing)
    if isinstance(error, (openai.OpenAIError, json.JSONDecodeError)):
        words = f"{account.provider} gave no answer that the client reads: {account.shown(str(error))}"
        return OutageError(f"{words} ({doing})", _outage_hint(account), may_be_accepted=True)
    raise error


def _unanswered(error: Exception, account: Account, doing: str) -> OutageError:
    """No answer, or not all of it."""
    import httpx2

    causes = list(_causes(error))
    before_sending = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
    is_unsent = any(isinstance(each, (*before_sending, httpx2.UnsupportedProtocol)) for each in causes)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes) or any(
        "CERTIFICATE_VERIFY_FAILED" in str(each) for each in causes
    ):
        return OutageError(
            f"{account.provider} shows a certificate that is not trusted here ({doing})",
            "Is base_url right? $SSL_CERT_FILE names further authorities to trust.",
            is_lasting=True,
            code="certificate",
        )
    said = next((str(each) for each in reversed(causes) if str(each).strip()), type(causes[-1]).__name__)
    if any(isinstance(each, httpx2.TimeoutException) for each in causes):
        what, code = "did not answer in time", "timeout"
    elif is_unsent:
        what, code = f"can't be reached: {account.shown(said)}", "unreachable"
    else:
        what, code = f"was cut off: {account.shown(said)}", "cut_off"
    return OutageError(
        f"{account.provider} {what} ({doing})",
        _outage_hint(account),
        may_be_accepted=not is_unsent,
        code=code,
    )


class _Answered:
    """An answer with another status than success."""

    def __init__(self, response: Any, body: object, account: Account, doing: str) -> None:
        self._account = account
        self._status: int = response.status_code
        self._headers: Headers = response.headers
        error = _error_object(body)
        self._code = _word(error.get("code")) or _word(error.get("type") or error.get("error_type"))
        self._param = _param(error)
        self._words = _message(error)
        request = account.shown(self._headers.get("x-request-id", ""))
        self._about = "; ".join([doing, f"HTTP {self._status}"] + [f"request {request}"] * bool(request))

    def failure(self) -> EmbeddingError:
        """By what kind of answer it is."""
        if self._status == 429 and "request too large" in self._words.lower():
            # More than a minute's allowance: no wait helps.
            return self._refused(REQUEST_TOO_LARGE, "Lower [embedding.openai] max_tokens_per_request.")
        lasting = self._what_lasts()
        if lasting is not None:
            return OutageError(
                self._said(lasting[0]), lasting[1], is_lasting=True, code=self._code, status=self._status
            )
        if self._status in _PASSING or self._status >= 500:
            return self._passing()
        return self._refusal()

    def _what_lasts(self) -> tuple[str, str] | None:
        """What a person has to mend, and how."""
        status = 402 if self._code in NO_MONEY else self._status
        if status in _LASTING:
            return _LASTING[status]
        if status in _NOT_THERE or self._code == "model_not_found":
            is_model = "model" in self._code or "model" in self._words.lower()
            hint = _SETUP_HINTS["model"] if is_model else "Is [embedding.openai] base_url right (/v1)?"
            return "does not have what was asked for", hint
        if status < 400:
            place = self._account.shown(self._headers.get("location", "elsewhere"))
            return f"sends us on to {place}", "Set [embedding.openai] base_url to that server."
        if status in {400, 422} and (hint := self._setup_hint()):
            return "refuses how it is asked", hint
        return None

    def _setup_hint(self) -> str:
        """Does it complain of a setting, and no text? A long message may have the text in it: no telling."""
        if self._code == "max_tokens_per_request":
            return ""
        words = self._words.lower() if len(self._words) <= _OWN_WORDS_CHARACTERS_MAX else ""
        for name, phrases in _SETUP_PHRASES.items():
            if self._param == name or any(phrase in words for phrase in phrases):
                return _SETUP_HINTS[name]
        return ""

    def _refusal(self) -> RefusedError:
        lower = self._words.lower()
        if self._code == "max_tokens_per_request":
            return self._refused(self._code, "Lower [embedding.openai] max_tokens_per_request.")
        if any(words in lower for words in _TOO_LONG_WORDS):
            return self._refused(TEXT_TOO_LONG, "Lower [chunking] max_tokens, or shorten the text.")
        if self._status == 413 or any(words in lower for words in _TOO_LARGE_WORDS):
            return self._refused(REQUEST_TOO_LARGE, "Lower [embedding.openai] max_inputs_per_request.")
        return self._refused(self._code, "")

    def _refused(self, code: str, hint: str) -> RefusedError:
        return RefusedError(self._said("refused this"), hint, code=code, status=self._status)

    def _passing(self) -> OutageError:
        is_rate = self._status == 429
        wait_s = asked_wait_s(self._headers, time.time())
        if wait_s is None:
            wait_s = exhausted_wait_s(self._headers) if is_rate else 0.0
        what = "asks us to slow down" if is_rate else "has a failure of its own"
        if wait_s:
            what += f", and to wait {wait_s:,.1f} s"
        return OutageError(
            self._said(what),
            "The next run goes on." if is_rate else _outage_hint(self._account),
            wait_s=wait_s,
            may_be_accepted=not is_rate and self._status != 425,
            code=self._code,
            status=self._status,
        )

    def _said(self, what: str) -> str:
        detail = self._account.shown(self._words)
        return f"{self._account.provider} {what}" + f": {detail}" * bool(detail) + f" ({self._about})"


def _outage_hint(account: Account) -> str:
    if account.is_openai:
        return "Look at the network, and at https://status.openai.com; the next run goes on."
    return "Does the server run, and is [embedding.openai] base_url right? The next run goes on."


def _error_object(body: object) -> dict[str, object]:
    """The error in a body: OpenAI's, or what other servers write in its place."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict):
            return inner
        return {**body, "message": inner}
    return {"message": body}


def _message(error: dict[str, object]) -> str:
    message = error.get("message") or error.get("detail")
    if isinstance(message, str):
        is_page = message.lstrip().startswith("<")  # a proxy's, which tells less than the status
        return "" if is_page else message
    return "" if message is None else json.dumps(message)


def _param(error: dict[str, object]) -> str:
    """The field of the request that is complained of, if it is said."""
    detail = error.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):  # as FastAPI's validation says it
        place = detail[0].get("loc")
        return _word(place[-1]) if isinstance(place, list) and place else ""
    return _word(error.get("param"))


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that it came of."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__
