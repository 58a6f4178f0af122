"""Short forms of calls to the embeddings and batches of a client of the `openai` SDK."""

import base64
import io
import json

import numpy as np

SMALL, LARGE, ADA = "text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"


def request_line(custom_id, text, *, model=SMALL, **body):
    """A line of an input file."""
    body = {"model": model, "input": text, "encoding_format": "base64", **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": body}


def request_lines(count, **options):
    """Lines with the ids id-0, id-1 ... and the texts "text number 0" ..."""
    return [request_line(f"id-{number}", f"text number {number}", **options) for number in range(count)]


def upload(client, lines, name="input.jsonl", **options):
    """A file of such lines, or of the bytes that are given."""
    content = (
        lines if isinstance(lines, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    )
    return client.files.create(file=(name, io.BytesIO(content)), purpose="batch", **options)


def create_batch(client, lines, **options):
    """A batch of such lines."""
    return client.batches.create(
        input_file_id=upload(client, lines).id, endpoint="/v1/embeddings", completion_window="24h", **options
    )


def read_lines(client, file_id):
    """The lines of an output or error file, as objects."""
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def decoded(embedding):
    """float32[n] of either encoding."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), dtype="<f4")
    return np.asarray(embedding, dtype=np.float32)


def line_vector(line):
    """The vector of a line with one input."""
    return decoded(line["response"]["body"]["data"][0]["embedding"])
