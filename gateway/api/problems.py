"""Errors of the API: always ``{"error": {"code", "message", ...}}``, and a 400 names the parameter."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from pydantic import BaseModel

from gateway.settings.problem import did_you_mean
from storage.control.contract import ControlUnavailable
from storage.queries.calls import CursorError
from storage.rollups.question import QuestionError
from storage.store import StoreTooSlow, StoreUnavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LOG = logging.getLogger(__name__)


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str
    message: str
    param: str | None = None
    """Query parameter that can't be used."""
    allowed: list[str] | None = None
    """Values it may have, or parameters there are."""


class ErrorOut(BaseModel):
    """Body of every answer with a status of 400 or more."""

    error: ErrorDetail


class ApiError(Exception):
    """Ends a request with a status and an error body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        allowed: Sequence[str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.detail = ErrorDetail(
            code=code, message=message, param=param, allowed=None if allowed is None else list(allowed)
        )


def bad_value(param: str, value: str, allowed: Sequence[str]) -> ApiError:
    """400 for a value outside a fixed set."""
    hint = did_you_mean(value, allowed)
    return ApiError(
        400,
        "invalid_parameter",
        f"{param}={value[:64]!r} is not allowed. {hint}Allowed: {', '.join(allowed)}.",
        param=param,
        allowed=allowed,
    )


def json_response(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A response model as JSON."""
    return web.Response(
        status=status, body=model.model_dump_json().encode(), content_type="application/json", headers=headers
    )


def _error(error: ApiError) -> web.Response:
    body = ErrorOut(error=error.detail).model_dump_json(exclude_none=True).encode()
    return web.Response(
        status=error.status, body=body, content_type="application/json", headers=error.headers
    )


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns every error into the one shape; a defect of ours is logged and told without its text."""
    try:
        return await handler(request)
    except ApiError as error:
        return _error(error)
    except CursorError:
        return _error(
            ApiError(
                400,
                "invalid_parameter",
                "This cursor is not one of ours; start again without it.",
                param="cursor",
            )
        )
    except QuestionError as error:
        return _error(ApiError(400, "invalid_parameter", f"{error}."))
    except StoreTooSlow:
        return _error(
            ApiError(
                503,
                "took_too_long",
                "The database was not done in time. Ask for a shorter period (since, until) or for less"
                " (tenant, team, user).",
            )
        )
    except (StoreUnavailable, ControlUnavailable):
        return _error(
            ApiError(
                503,
                "store_unavailable",
                "The database does not answer. Calls are still accepted and kept on disk.",
                headers={"Retry-After": "5"},
            )
        )
    except web.HTTPMethodNotAllowed as error:
        allowed = sorted(error.allowed_methods)
        return _error(
            ApiError(
                405,
                "method_not_allowed",
                f"{request.method} is not allowed here. Allowed: {', '.join(allowed)}.",
                allowed=allowed,
                headers={"Allow": ", ".join(allowed)},
            )
        )
    except web.HTTPNotFound:
        return _error(
            ApiError(404, "not_found", "There is nothing here. /api/openapi.json lists what there is.")
        )
    except web.HTTPException as error:
        return _error(ApiError(error.status, "bad_request", error.reason))
    except Exception:  # noqa: BLE001 (the outermost handler: logged)
        _LOG.exception("the API failed on %s %s", request.method, request.path)
        return _error(ApiError(500, "internal_error", "The API failed on this request; the log says why."))
