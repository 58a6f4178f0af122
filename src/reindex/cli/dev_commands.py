"""`dev-openai`: an OpenAI of one's own, to try things offline and unpaid."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from reindex.cli.output import say
from reindex.errors import ConfigError

_PORT = 7701


def dev_openai(
    port: Annotated[int, typer.Option("--port", help="0: a free one.", min=0, max=65_535)] = _PORT,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    batch_delay: Annotated[
        float, typer.Option("--batch-delay", help="Seconds that a batch takes.", metavar="S", min=0)
    ] = 5.0,
    dimensions: Annotated[
        int, typer.Option("--dimensions", help="Of all its models; 0: OpenAI's.", min=0, max=16_384)
    ] = 0,
    control: Annotated[
        bool, typer.Option("--control", help="With /dev/..., where faults can be asked for.")
    ] = False,
) -> None:
    """Serve a stand-in for OpenAI's embeddings and batches, until Ctrl-C. Nothing leaves this machine.

    Its vectors are made of hashed words: texts with the same words are near each other. Any key will do.

    Example: reindex dev-openai --port 7701 --batch-delay 30
    """
    import tempfile  # which imports much, for all commands

    from reindex.dev_openai.options import Options
    from reindex.dev_openai.server import Server
    from reindex.dev_openai.service import Service

    options = Options(stage_s={"in_progress": batch_delay})
    if dimensions:
        options.models = dict.fromkeys(options.models, dimensions)
    if control and host not in {"127.0.0.1", "localhost"}:
        raise ConfigError("--control is for a loopback address only", "leave out --host or --control")
    with tempfile.TemporaryDirectory(prefix="reindex-dev-openai-") as folder:
        server = Server(Service(Path(folder), options), host, port, has_control=control)
        say(f'listening: [embedding] provider = "openai", [embedding.openai] base_url = "{server.base_url}"')
        say("and in the environment OPENAI_API_KEY=anything; Ctrl-C ends it and forgets everything")
        sys.stdout.flush()  # a script may wait for the address
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the folder goes too
        try:
            server.run()
        except KeyboardInterrupt:
            raise typer.Exit from None  # it is how one leaves
