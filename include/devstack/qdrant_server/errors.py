"""Errors of the server, with the status codes and texts of Qdrant 1.18."""

import re

_NO_POINT = re.compile(r"^No point with id (\S+)$")


class ApiError(Exception):
    """An error for the client: an HTTP `status` and the `text` inside Qdrant's error envelope."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def bad_format(why: str) -> ApiError:
    """400: the body is no JSON, or JSON of another form."""
    return ApiError(400, f"Format error in JSON body: {why}")


def invalid(path: str, why: str, status: int = 422) -> ApiError:
    """422: the body has the right form but a value that is out of range; `path` says where."""
    return ApiError(status, f"Validation error in JSON body: [{path}: {why}]")


def wrong_input(why: str, status: int = 400) -> ApiError:
    """400 (or `status`): well formed, but not possible on this collection."""
    return ApiError(status, f"Wrong input: {why}")


def bad_request(why: str) -> ApiError:
    """400: a request that asks for nothing or contradicts itself."""
    return ApiError(400, f"Bad request: {why}")


def not_found(what: str) -> ApiError:
    """404."""
    return ApiError(404, f"Not found: {what}")


def no_point(identity: object) -> ApiError:
    """404 in Qdrant's words for a point that is not there."""
    return not_found(f"No point with id {identity} found")


def no_collection(name: str) -> ApiError:
    """404 in Qdrant's words for an unknown collection or alias."""
    return not_found(f"Collection `{name}` doesn't exist!")


def unsupported(what: str) -> ApiError:
    """501: a real server can do it, this one cannot; `what` names the call or the part of it."""
    return ApiError(501, f"Not implemented: the embedded Qdrant server does not support {what}. Use a real Qdrant.")


def from_engine(error: Exception) -> ApiError:
    """The engine's exception as the answer that a real server gives for the same cause."""
    text = str(error)
    if match := _NO_POINT.match(text):
        return no_point(match.group(1))
    if text == "Wrong usage of sparse vectors":
        return wrong_input("Conversion between sparse and regular vectors failed")
    if text.startswith("Service runtime error") or "IO error" in text or "Out of memory" in text:
        return ApiError(500, f"Service internal error: {text}")
    return wrong_input(text)
