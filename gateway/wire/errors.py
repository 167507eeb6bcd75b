"""Error bodies: writing ours in the shape of a wire, and reading the code out of a provider's."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.wire.shapes import anything, text

_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_AWS_TYPES = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    413: "ValidationException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


def openai_error(status: int, code: str, message: str) -> bytes:
    """``{"error": {"message", "type", "param", "code"}}``."""
    kind = _OPENAI_TYPES.get(status, "api_error")
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def anthropic_error(status: int, code: str, message: str) -> bytes:
    """``{"type": "error", "error": {"type", "message"}}``; our code goes beside them."""
    kind = _ANTHROPIC_TYPES.get(status, "api_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message, "code": code}})


def google_error(status: int, code: str, message: str) -> bytes:
    """``{"error": {"code", "message", "status", "details"}}``; our code is the reason of an ``ErrorInfo``."""
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code, "domain": "weighbridge"}
    kind = _GOOGLE_STATUS.get(status, "INTERNAL")
    return msgspec.json.encode(
        {"error": {"code": status, "message": message, "status": kind, "details": [detail]}}
    )


def aws_error(status: int, code: str, message: str) -> bytes:
    """``{"__type", "message"}``, with our code beside them."""
    kind = _AWS_TYPES.get(status, "InternalServerException")
    return msgspec.json.encode({"__type": kind, "message": message, "code": code})


def message_error(status: int, code: str, message: str) -> bytes:
    """``{"message", "code"}`` (Cohere, Aleph Alpha)."""
    return msgspec.json.encode({"message": message, "code": code, "status": status})


def plain_error(status: int, code: str, message: str) -> bytes:
    """``{"error": message}`` (Ollama, Hugging Face), with our code beside it."""
    return msgspec.json.encode({"error": message, "code": code, "status": status})


def detail_error(status: int, code: str, message: str) -> bytes:
    """``{"title", "detail", "status"}`` (Replicate)."""
    return msgspec.json.encode({"title": code, "detail": message, "status": status})


def watsonx_error(status: int, code: str, message: str) -> bytes:
    """``{"errors": [{"code", "message"}], "status_code"}``."""
    return msgspec.json.encode({"errors": [{"code": code, "message": message}], "status_code": status})


def code_in(error: object) -> str | None:
    """The provider's code of an error object or text: its ``code`` if that is a telling text, else its ``type`` or
    ``status``, else the code whatever its type."""
    if isinstance(error, list) and error:
        error = error[0]
    if isinstance(error, str):
        return "error"
    if not isinstance(error, Mapping):
        return None
    code = error.get("code")
    if type(code) is str and code and not code.isdigit():
        return text(code, 128)
    for name in ("type", "status", "__type", "reason", "error_type"):
        kind = error.get(name)
        if type(kind) is str and kind:
            return text(kind, 128)
    return text(code, 128)


def body_code(body: bytes) -> str | None:
    """The code in an error body of any shape we know; ``None`` where there is none."""
    value = anything(body)
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, Mapping):
        return None
    for name in ("error", "errors"):
        inner = value.get(name)
        if isinstance(inner, str) and inner:
            return code_in(value) or "error"  # the kind stands beside the text
        if inner:
            return code_in(inner)
    return code_in(value)
