"""Images and files of a message. Bedrock takes their bytes; an address would have to be fetched here, so it is refused."""

import base64
import binascii
import re
from typing import Any

from ..base import ProviderError

_IMAGES = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg", "gif": "gif", "webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
#: What Bedrock lets a document be called.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9\s\-()\[\]]+")


def image(given: Any, where: str) -> dict[str, Any]:
    """An `image_url` part's image.

    Raises:
        ProviderError: 400: no data URL, or of a kind that Bedrock does not read.
    """
    kind, data = _data_url(given.get("url") if isinstance(given, dict) else None, where)
    form = _IMAGES.get(kind.removeprefix("image/"))
    if form is None:
        raise _bad(f"'{kind}' is no image that this model reads; PNG, JPEG, GIF and WebP are", where)
    return {"format": form, "source": {"bytes": data}}


def document(given: Any, where: str) -> dict[str, Any]:
    """A `file` part's document, sent along as `file_data`.

    Raises:
        ProviderError: 400, as for images.
    """
    if not isinstance(given, dict) or not given.get("file_data"):
        raise _bad("this model takes files as 'file_data' only", where)
    kind, data = _data_url(given["file_data"], where)
    form = _DOCUMENTS.get(kind)
    if form is None:
        raise _bad(f"'{kind}' is no document that this model reads", where)
    name = re.sub(r"\s+", " ", _NOT_IN_NAMES.sub(" ", str(given.get("filename") or ""))).strip()
    return {"format": form, "name": name[:200] or "document", "source": {"bytes": data}}


def _data_url(url: Any, where: str) -> tuple[str, bytes]:
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise _bad("this model takes images and files as base64 data URLs only, no addresses", where)
    try:
        return head.removeprefix("data:").split(";")[0].lower(), base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise _bad("a data URL that is not base64", where) from error


def _bad(what: str, where: str) -> ProviderError:
    return ProviderError(f"Invalid '{where}': {what}.", code="invalid_value", status=400, temporary=False, param=where)
