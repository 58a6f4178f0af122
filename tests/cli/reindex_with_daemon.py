"""The real command line with a daemon that is none: it is there, answers for its reloads, and ends.

$DAEMON is what it does instead: fail, die, hang (unannounced), linger (announced, never ready), stubborn
(ignores SIGTERM). With $DAEMON_HTTP it can be asked.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType

from reindex.cli.main import main
from reindex.errors import ConfigError, ExitCode, ReindexError
from reindex.presence import announce

RELOAD = {}


class Status(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"reload": RELOAD or None}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def run(load, version, taken):
    how = os.environ.get("DAEMON", "")
    signals = {signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    log = logging.getLogger("reindex.daemon")
    log.info(
        "the stand-in begins in %s",
        os.getcwd(),
        extra={"key": os.environ.get("OPENAI_API_KEY"), "manager": os.environ.get("NOTIFY_SOCKET")},
    )
    if how == "fail":
        raise ReindexError("127.0.0.1:7700 is in use", "Choose another [daemon] http.")
    if how == "die":
        os.abort()
    if how == "bug":
        raise AssertionError("a bug")
    if how == "hang":
        time.sleep(600)
    with announce(load().data_dir, version, time.time()) as announcement:
        url = ""
        if "DAEMON_HTTP" in os.environ:
            server = ThreadingHTTPServer(("127.0.0.1", 0), Status)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}"
        announcement.change(url=url)
        if how != "linger":
            announcement.change(is_ready=True)
        while True:
            number = signal.sigwait(signals)
            if number == signal.SIGTERM and how != "stubborn":
                return ExitCode.OK
            if number == signal.SIGHUP:
                try:
                    taken(load())
                    RELOAD.update(at=time.time(), ok=True, error=None)
                except ConfigError as error:
                    RELOAD.update(at=time.time(), ok=False, error=error.message)
                log.info("reloaded")
                log.debug("a detail")


stand_in = ModuleType("reindex.daemon.process")
stand_in.run = run
sys.modules["reindex.daemon.process"] = stand_in
if __name__ == "__main__":
    main()
