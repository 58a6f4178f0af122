"""The page: whole in itself, with a policy that lets nothing run but its own script."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from serving import serving


@pytest.fixture(scope="module")
def page():
    with serving() as client:
        return client.get("/")


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.fixture(scope="module")
def elements(page):
    parser = Elements()
    parser.feed(page.body.decode())
    return parser.found


def test_it_is_one_file_that_needs_no_other(page, elements):
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert not [tag for tag, _ in elements if tag in {"link", "img", "iframe", "object", "embed", "base"}]
    names = {name for _, attributes in elements for name in attributes}
    assert not names & {"src", "href", "style", "srcset", "action"}
    assert not [name for name in names if name.startswith("on")]
    assert b"http://" not in page.body
    assert b"https://" not in page.body
    assert b"@import" not in page.body
    assert b"url(" not in page.body


def test_its_policy_names_exactly_its_script_and_style(page):
    policy = dict(
        part.strip().partition(" ")[::2] for part in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    for element in ("script", "style"):
        (inside,) = re.findall(rb"<%b>(.*?)</%b>" % ((element.encode(),) * 2), page.body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside).digest()).decode()
        assert policy[f"{element}-src"] == f"'sha256-{digest}'"
    assert {name: policy[name] for name in policy if name not in {"script-src", "style-src"}} == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_text_is_only_ever_set_as_text(page):
    for word in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval(", b".style"):
        assert word not in page.body


def test_its_controls_have_names(elements):
    for tag, attributes in elements:
        if tag in {"input", "select"}:
            assert attributes.get("aria-label"), attributes
    identities = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_every_element_that_its_script_uses_is_there(page, elements):
    identities = {attributes["id"] for _, attributes in elements if "id" in attributes}
    assert set(re.findall(r'\bat\("(\w+)"\)', page.body.decode())) <= identities
