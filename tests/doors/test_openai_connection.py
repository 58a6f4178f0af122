"""Connections to a provider that fail: was the request carried out or not, and will it pass?"""

import gzip
import json
import os
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest

from openai_double import Double, Reply, embedder_of, openai_double
from reindex.errors import AccountError, OutageError


@pytest.fixture
def double():
    with openai_double() as made:
        yield made


def failure(double, reply):
    double.always = reply
    with pytest.raises(OutageError) as caught:
        embedder_of(double, retries_max=0).embed(["a"])
    assert len(double.seen) == 1
    return caught.value


@pytest.mark.parametrize("cut", [-1, 0, 1, 100])
def test_an_answer_that_breaks_off_may_have_been_carried_out(double, cut):
    error = failure(double, Reply(cut=cut))
    assert (error.is_lasting, error.may_be_accepted, error.code) == (False, True, "cut_off")


def test_an_answer_that_can_t_be_unpacked(double):
    assert failure(double, Reply(headers={"content-encoding": "gzip"})).may_be_accepted


def test_an_answer_that_is_packed(double):
    double.always = Reply(headers={"content-encoding": "gzip"}, change=packed)
    assert embedder_of(double).embed(["a"]).shape == (1, 1536)


def packed(answer):
    return gzip.compress(json.dumps(answer).encode())


def test_a_reset_instead_of_an_answer():
    """Once the request is sent, nobody knows."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve():
            peer, _ = server.accept()
            with peer:
                peer.recv(65_536)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        with pytest.raises(OutageError) as caught:
            embedder_of(Double(url), retries_max=0).embed(["a"])
        thread.join()
    assert (caught.value.may_be_accepted, caught.value.code) == (True, "cut_off")


def test_nobody_there_has_certainly_not_been_carried_out():
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{trial.getsockname()[1]}/v1"
        with pytest.raises(OutageError) as caught:
            embedder_of(Double(url), retries_max=0).embed(["a"])
    assert (caught.value.may_be_accepted, caught.value.is_lasting) == (False, False)
    assert caught.value.code == "unreachable"


def test_a_server_that_speaks_no_tls_or_shows_a_certificate_that_is_not_trusted(double, tmp_path):
    with pytest.raises(OutageError) as caught:
        embedder_of(Double(double.url.replace("http:", "https:")), retries_max=0).embed(["a"])
    assert (caught.value.may_be_accepted, caught.value.is_lasting) == (False, False)
    with self_signed(tmp_path) as url, pytest.raises(OutageError, match="not trusted") as caught:
        embedder_of(Double(url), retries_max=0).embed(["a"])
    assert (caught.value.may_be_accepted, caught.value.is_lasting) == (False, True)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999999/v1", "http://[::1/v1", "http:///v1", "ftp://here"]
)
def test_an_address_that_is_none(url):
    with pytest.raises((AccountError, OutageError)) as caught:
        embedder_of(Double(url), retries_max=0).embed(["a"])
    assert "base_url" in caught.value.hint + caught.value.message


def self_signed(folder):
    @contextmanager
    def served():
        certificate, key = folder / "cert.pem", folder / "key.pem"
        make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        assert os.system(f"{make} -keyout {key} -out {certificate} >/dev/null 2>&1") == 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()

            def serve():
                peer, _ = server.accept()
                try:
                    context.wrap_socket(peer, server_side=True).close()
                except (ssl.SSLError, OSError):
                    peer.close()

            thread = threading.Thread(target=serve)
            thread.start()
            yield f"https://127.0.0.1:{server.getsockname()[1]}/v1"
            thread.join()

    return served()
