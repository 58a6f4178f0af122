"""The HTTP API of a daemon: search, what it does and how it is, and one door for every writing command.

Only the daemon imports this package, so Starlette, uvicorn and prometheus_client stand at the top of its
modules.
"""
