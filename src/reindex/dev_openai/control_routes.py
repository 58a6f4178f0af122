"""`/dev/...`: the state of the server and its faults, for other processes. Only where it is turned on.

GET state, bill; POST faults `{route, fault, n, times, containing, ...its parameters}`, options
`{name: value}`, finish `{batch}`, release, advance `{seconds}`; DELETE faults. Names: `gate.ROUTES`,
`fault_names`, `Options`.
"""

from __future__ import annotations

import json
from dataclasses import fields
from enum import StrEnum
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reindex.dev_openai.embedding_request import parse_object
from reindex.dev_openai.fault_names import fault_of
from reindex.dev_openai.faults import Call
from reindex.dev_openai.options import Options
from reindex.dev_openai.refusals import Refusal
from reindex.dev_openai.service import Service

_FINISH_S = 60.0
_OPTIONS = {field.name for field in fields(Options)}


async def _state(request: Request) -> Response:
    service: Service = request.app.state.service
    return JSONResponse(
        {
            "requests": dict(service.requests()),
            "billed": sum(service.bill.entries().values()),
            "billed_twice": len(service.bill.twice()),
            "tokens": {f"{lane} {model}": count for (lane, model), count in service.bill.tokens().items()},
            "batches": [service.batches.shown(batch) for batch in service.batches.all()],
            "orphans": [batch.id for batch in service.orphans()],
        }
    )


async def _bill(request: Request) -> Response:
    service: Service = request.app.state.service
    rows = [
        {
            "lane": entry.lane,
            "model": entry.model,
            "dimensions": entry.dimensions,
            "text": entry.text,
            "count": n,
        }
        for entry, n in service.bill.entries().items()
    ]
    return Response(json.dumps({"bill": rows}), media_type="application/json")  # texts may be odd


async def _add_fault(request: Request) -> Response:
    service: Service = request.app.state.service
    asked = parse_object(await request.body())
    containing = str(asked.pop("containing", ""))
    try:
        route, n, times = str(asked.pop("route")), int(asked.pop("n", 1)), asked.pop("times", 1)
        fault = fault_of(str(asked.pop("fault")), asked)
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(400, f"No such fault: {error}") from None

    def is_meant(subject: Any) -> bool:
        if isinstance(subject, Call):
            return containing in (subject.body or b"").decode(errors="replace")
        return containing in str(subject.metadata)

    service.faults.add(route, fault, n=n, times=times, where=is_meant if containing else None)
    return JSONResponse({"added": repr(fault)})


async def _clear_faults(request: Request) -> Response:
    service: Service = request.app.state.service
    service.faults.clear()
    return JSONResponse({})


async def _set_options(request: Request) -> Response:
    service: Service = request.app.state.service
    asked = parse_object(await request.body())
    unknown = asked.keys() - _OPTIONS
    if unknown:
        raise Refusal(400, f"No such option: {', '.join(sorted(unknown))}")
    for name, value in asked.items():
        old = getattr(service.options, name)
        kind: Any = type(old) if isinstance(old, (set, StrEnum)) else None
        setattr(service.options, name, kind(value) if kind else value)
    service.worker.wake()
    return JSONResponse({})


async def _finish(request: Request) -> Response:
    service: Service = request.app.state.service
    batch = service.batches.get(str(parse_object(await request.body()).get("batch")), is_fresh_missing=False)
    await run_in_threadpool(service.worker.finish, batch, _FINISH_S)
    return JSONResponse(service.batches.shown(batch))


async def _release(request: Request) -> Response:
    service: Service = request.app.state.service
    service.worker.release()
    return JSONResponse({})


async def _advance(request: Request) -> Response:
    service: Service = request.app.state.service
    service.clock.advance(float(parse_object(await request.body()).get("seconds", 0)))
    return JSONResponse({"now": service.clock.now()})


ROUTES = [
    Route("/dev/state", _state, methods=["GET"]),
    Route("/dev/bill", _bill, methods=["GET"]),
    Route("/dev/faults", _add_fault, methods=["POST"]),
    Route("/dev/faults", _clear_faults, methods=["DELETE"]),
    Route("/dev/options", _set_options, methods=["POST"]),
    Route("/dev/finish", _finish, methods=["POST"]),
    Route("/dev/release", _release, methods=["POST"]),
    Route("/dev/advance", _advance, methods=["POST"]),
]
