"""The way to OpenAI, or to a server that speaks its API: the account, and the SDK's client for it.

The key comes from the environment and goes into requests, and nowhere else.
"""

from __future__ import annotations

import hashlib
import re
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reindex.embedders.rate_limit import RateLimiter
from reindex.errors import AccountError, OutageError
from reindex.model import digest
from reindex.settings import OpenAISettings
from reindex.telemetry import Masker

if TYPE_CHECKING:
    from httpx2 import Timeout
    from openai import OpenAI

KEY_VARIABLE = "OPENAI_API_KEY"
DEFAULT_BASE_URL = "https://api.openai.com/v1"
CONNECT_TIMEOUT_S = 5.0

_PROJECT = "OPENAI_PROJECT_ID"
_KEYLESS = "no-key"  # the SDK wants one; servers without accounts take any
_DETAIL_CHARACTERS_MAX = 300
_KEY_PART_CHARACTERS = 8  # so much of the key's beginning gives it away
_OWN_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks whom. Neither the key nor a password in the address is ever shown."""

    base_url: str = field(repr=False)
    key: str = field(repr=False)
    organization: str | None = None
    project: str | None = None

    @staticmethod
    def of(settings: OpenAISettings, environment: Mapping[str, str]) -> Account:
        """By the settings and the environment that the SDK reads too. Raises AccountError: OpenAI wants a
        key, and only a server of one's own may do without.
        """
        base_url = settings.base_url or environment.get("OPENAI_BASE_URL", "").strip() or DEFAULT_BASE_URL
        try:
            urlsplit(base_url)
        except ValueError as error:
            raise _no_address(str(error)) from None
        key = environment.get(KEY_VARIABLE, "").strip()
        if not key and _host(base_url) == _host(DEFAULT_BASE_URL):
            raise AccountError(
                f"${KEY_VARIABLE} is not set, and OpenAI answers nobody without a key",
                f"export {KEY_VARIABLE}=...; it has no place in config.toml."
                " A server of your own is named by [embedding.openai] base_url.",
            )
        organization, project = (environment.get(name) or None for name in ("OPENAI_ORG_ID", _PROJECT))
        for name, value in ((KEY_VARIABLE, key), ("OPENAI_ORG_ID", organization), (_PROJECT, project)):
            if not re.fullmatch(r"[!-~]*", value or ""):  # it has to go into a header
                raise AccountError(
                    f"${name} has characters that it can't have (it is not shown)",
                    "Copy it again, without quotes and spaces.",
                )
        return Account(base_url.rstrip("/"), key, organization, project)

    @property
    def provider(self) -> str:
        """Its name for a person: OpenAI, or the server's host and port."""
        if self.is_openai:
            return "OpenAI"
        return urlsplit(self.base_url).netloc.rpartition("@")[2] or "the server"

    @property
    def is_openai(self) -> bool:
        return _host(self.base_url) == _host(DEFAULT_BASE_URL)

    @property
    def is_exposed(self) -> bool:
        """Would the key go over a network as plain text?"""
        is_plain = self.base_url.startswith("http://")
        return bool(self.key) and is_plain and _host(self.base_url) not in _OWN_HOSTS

    @property
    def fingerprint(self) -> str:
        """16 hex digits; another one where batches made by this account can't be seen."""
        parts = (self.base_url, self.organization or "", self.project or "")
        key_digest = hashlib.sha256(self.key.encode()).digest()
        return digest(b"account", *(part.encode() for part in parts), key_digest).hex()[:16]

    def shown(self, text: str) -> str:
        """What a server said, for a message: one line, not too long, and without our secrets, which it may
        have put in it.
        """
        password = urlsplit(self.base_url).password or ""
        text = Masker((self.key, password)).masked(" ".join(text.split()))
        if len(self.key) > _KEY_PART_CHARACTERS:
            text = re.sub(re.escape(self.key[:_KEY_PART_CHARACTERS]) + r"[^\s\"',;]*", "***", text)
        if len(text) > _DETAIL_CHARACTERS_MAX:
            text = text[:_DETAIL_CHARACTERS_MAX] + "..."
        return text


def account_fingerprint(settings: OpenAISettings, environment: Mapping[str, str]) -> str:
    """That of the account that is configured now. Raises AccountError."""
    return Account.of(settings, environment).fingerprint


class OpenAIConnection:
    """What all lanes of a process share: the account, one client with its pool of connections, and one
    limiter. Safe from any thread.
    """

    def __init__(
        self, settings: OpenAISettings, environment: Mapping[str, str], limiter: RateLimiter | None = None
    ) -> None:
        """Connects to nothing, and imports nothing heavy. Raises AccountError."""
        self.settings = settings
        self.account = Account.of(settings, environment)
        self.limiter = RateLimiter() if limiter is None else limiter
        self._lock = threading.Lock()
        self._client: OpenAI | None = None

    @property
    def client(self) -> OpenAI:
        """Made with the first use (1.1 CPU s of imports). Raises AccountError for an address that is none."""
        with self._lock:
            if self._client is None:
                self._client = make_client(self.account, self.settings.timeout_s)
            return self._client

    def close(self) -> None:
        """End its connections; the next use makes new ones."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


def make_client(account: Account, timeout_s: float) -> OpenAI:
    """The SDK's client. It never retries by itself: an answer that is lost may be of a request that was
    carried out, and neither batches nor embeddings know a key against doing it twice.

    Raises AccountError for an address that is none.
    """
    import httpx2
    from openai import DefaultHttpxClient, OpenAI, OpenAIError

    def refuse_page(response: httpx2.Response) -> None:
        """A web page where an answer should be: a proxy's, or that of an address without /v1."""
        if response.is_success and response.headers.get("content-type", "").startswith("text/html"):
            raise OutageError(
                f"{account.provider} answers with a web page, not as an API ({response.request.url.path})",
                "Is [embedding.openai] base_url right (/v1)? Is a login page between?",
                is_lasting=True,
                may_be_accepted=True,
                code="web_page",
            )

    try:
        http = DefaultHttpxClient(
            base_url=account.base_url,
            timeout=timeout_of(timeout_s),
            event_hooks={"response": [refuse_page]},
        )
        client = OpenAI(
            api_key=account.key or _KEYLESS,
            admin_api_key="",  # not from the environment: it would go along with each request
            organization=account.organization,
            project=account.project,
            base_url=account.base_url,
            timeout=timeout_of(timeout_s),
            max_retries=0,
            http_client=http,
            default_headers={"User-Agent": f"reindex/{version('reindexd')} openai/{version('openai')}"},
        )
    except (httpx2.InvalidURL, OpenAIError, ValueError) as error:
        raise _no_address(account.shown(str(error))) from None
    weakref.finalize(client, http.close)  # the SDK does so only for what it made itself
    return client


def timeout_of(seconds: float) -> Timeout:
    """For the SDK: so long between two signs of life, and at most 5 s to connect."""
    import httpx2

    return httpx2.Timeout(seconds, connect=min(CONNECT_TIMEOUT_S, seconds))


def _no_address(cause: str) -> AccountError:
    return AccountError(
        f"[embedding.openai] base_url is no address: {cause}", "It is like http://127.0.0.1:8000/v1."
    )


def _host(address: str) -> str:
    return urlsplit(address).hostname or ""
