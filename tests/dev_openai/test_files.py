"""Files as the SDK sees them."""

import io
import os

import openai
import pytest

from openai_calls import upload

CONTENT = b'{"not": "looked at"}\nthis is no JSON\n'


def test_an_upload_has_the_documented_shape_and_gives_its_bytes_back(client):
    made = upload(client, CONTENT)
    assert (made.object, made.purpose, made.filename, made.status) == (
        "file",
        "batch",
        "input.jsonl",
        "processed",
    )
    assert made.bytes == len(CONTENT)
    assert made.expires_at == made.created_at + 30 * 86_400
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).content == CONTENT


@pytest.mark.parametrize("size", [0, 1, 65_535, 3_000_001])
def test_contents_of_any_size_and_bytes_pass_unchanged(client, size):
    content = os.urandom(size).replace(b"A", b"\r\n--")
    made = upload(client, content)
    assert made.bytes == len(content)
    with client.files.with_streaming_response.content(made.id) as answer:
        assert int(answer.headers["content-length"]) == len(content)
        assert b"".join(answer.iter_bytes()) == content


def test_names_of_batch_inputs_end_in_jsonl(standin, client):
    with pytest.raises(openai.BadRequestError) as refused:
        upload(client, CONTENT, name="input.txt")
    assert refused.value.body["message"] == "Invalid file format for Batch API. Must be .jsonl"
    assert client.files.create(file=("a.txt", io.BytesIO(b"a")), purpose="user_data").expires_at is None
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=("a.txt", io.BytesIO(b"a")), purpose="what for")
    assert len(list((standin.files()[0].path.parent).iterdir())) == 1


def test_a_file_over_the_limit_is_refused(standin, client):
    standin.options.file_bytes_max = 100
    upload(client, b"x" * 100)
    with pytest.raises(openai.APIStatusError) as refused:
        upload(client, b"x" * 101)
    assert refused.value.status_code == 413
    assert len(standin.files()) == 1


def test_files_expire_when_they_were_told_to(standin, client):
    made = upload(client, CONTENT, expires_after={"anchor": "created_at", "seconds": 3600})
    assert made.expires_at == made.created_at + 3600
    for seconds in (3599, 2_592_001):
        with pytest.raises(openai.BadRequestError):
            upload(client, CONTENT, expires_after={"anchor": "created_at", "seconds": seconds})
    standin.advance(3601)
    with pytest.raises(openai.NotFoundError) as gone:
        client.files.content(made.id)
    assert gone.value.body["message"] == f"No such File object: {made.id}"
    assert list(client.files.list()) == []


def test_lists_are_paged_ordered_and_filtered(client):
    made = [upload(client, CONTENT, name=f"{number}.jsonl").id for number in range(5)]
    client.files.create(file=("a.txt", io.BytesIO(b"a")), purpose="user_data")
    assert [file.id for file in client.files.list(purpose="batch", limit=2)] == made[::-1]
    assert [file.id for file in client.files.list(purpose="batch", limit=2, order="asc")] == made
    page = client.files.list(purpose="batch", limit=3)
    assert (len(page.data), page.has_more) == (3, True)
    assert client.files.list(purpose="batch", after=made[3], limit=3).has_more is False
    for options in ({"limit": 0}, {"limit": 10_001}, {"order": "up"}, {"after": "file-unknown"}):
        with pytest.raises(openai.BadRequestError):
            client.files.list(**options)


def test_deleting_is_at_once_and_a_second_time_a_404(standin, client):
    made = upload(client, CONTENT)
    assert client.files.delete(made.id).deleted is True
    for call in (client.files.delete, client.files.retrieve, client.files.content):
        with pytest.raises(openai.NotFoundError):
            call(made.id)
    assert standin.files() == []


def test_a_fresh_file_may_be_missing_for_a_while(standin, client):
    standin.options.fresh_missing_s = 30
    made = upload(client, CONTENT)
    for call in (client.files.retrieve, client.files.content):
        with pytest.raises(openai.NotFoundError):
            call(made.id)
    with pytest.raises(openai.BadRequestError, match=made.id):
        client.batches.create(input_file_id=made.id, endpoint="/v1/embeddings", completion_window="24h")
    standin.advance(31)
    assert client.files.retrieve(made.id).id == made.id
