"""`/v1/responses/{id}`: retrieve, delete, cancel, input items; `/v1/responses/input_tokens`.

`POST /v1/responses` itself is served beside Django (`inference.gateway`).
"""

import time
from datetime import UTC, datetime
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest

from .. import catalogue
from ..prompts import Reference, expand
from . import cancelling, kept
from .asking import count_input
from .history import Sight
from .listening import forget, listen
from .pages import page_of
from .prompted import response_body

SCOPE = "inference"
_PAGE = [OpenApiParameter(name) for name in ("after", "limit", "order")]
_OBJECT = OpenApiResponse({"$ref": "#/components/schemas/ResponseObject"}, description="The response.")
_ITEMS = OpenApiResponse({"$ref": "#/components/schemas/ItemList"}, description="A page of items.")


def sight_of(request: Request) -> Sight:
    """What the caller may see of answers from documents."""
    return Sight(caller_of(request).sight)


class ResponseView(TenantAPIView):
    """One response."""

    scopes = {"GET": SCOPE, "DELETE": SCOPE}

    @extend_schema(
        operation_id="get_response",
        summary="Retrieve a response",
        tags=["responses"],
        responses=_OBJECT,
        parameters=[OpenApiParameter("stream", bool), OpenApiParameter("starting_after", int)],
    )
    def get(self, request: Request, response_id: str) -> Response | StreamingHttpResponse:
        """A response as it is now; poll one that is made in the background.

        One that is made in the background as a stream can be listened to: `stream=true` sends its events, those after
        number `starting_after` where that is given, for a while after its end too.
        """
        if request.query_params.get("stream") == "true":
            events = listen(response_id, sight=sight_of(request), starting_after=_number(request))
            return StreamingHttpResponse(
                events, content_type="text/event-stream", headers={"cache-control": "no-cache"}
            )
        return Response(kept.retrieve(response_id, sight=sight_of(request)))

    class Deleted(serializers.Serializer):
        """The response is gone."""

        id = serializers.CharField()
        object = serializers.ChoiceField(["response"])
        deleted = serializers.BooleanField()

    @extend_schema(operation_id="delete_response", summary="Delete a response", tags=["responses"], responses=Deleted)
    def delete(self, request: Request, response_id: str) -> Response:
        """Erase a response's contents. What it cost stays in the ledger, and its items in their conversation."""
        gone = kept.delete(response_id, sight=sight_of(request), by=caller_of(request).actor, now=datetime.now(UTC))
        forget(gone)
        return Response({"id": response_id, "object": "response", "deleted": True})


def _number(request: Request) -> int:
    text = request.query_params.get("starting_after", "-1")
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise InvalidRequest("Invalid 'starting_after': must be a whole number.", param="starting_after")
    return int(text)


class ResponseCancelView(TenantAPIView):
    """The end of a response."""

    scopes = {"POST": SCOPE}

    @extend_schema(
        operation_id="cancel_response", summary="Cancel a response", tags=["responses"], request=None, responses=_OBJECT
    )
    def post(self, request: Request, response_id: str) -> Response:
        """Stop a response that is made in the background. One that has ended answers as it is."""
        return Response(kept.cancel(response_id, sight=sight_of(request), stop=cancelling.stop))


class InputItemsView(TenantAPIView):
    """What a response's input was."""

    scopes = {"GET": SCOPE}

    @extend_schema(
        operation_id="list_response_input_items", summary="List input items", tags=["responses"], parameters=_PAGE,
        responses=_ITEMS,
    )  # fmt: skip
    def get(self, request: Request, response_id: str) -> Response:
        """The items of a response's own input, the newest first; what came before it is not among them."""
        return Response(page_of(kept.input_items(response_id, sight=sight_of(request)), request))


class InputTokensView(TenantAPIView):
    """Counting before asking."""

    scopes = {"POST": SCOPE}

    class Counted(serializers.Serializer):
        """The input's size."""

        object = serializers.ChoiceField(["response.input_tokens"])
        input_tokens = serializers.IntegerField()

    @extend_schema(
        operation_id="count_response_input_tokens", summary="Count input tokens", tags=["responses"],
        request={"application/json": {"$ref": "#/components/schemas/ResponseRequest"}}, responses=Counted,
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """The tokens that a request's input has, with all that comes before it: an estimate, made without the model."""
        body: Any = request.data
        if isinstance(body, dict) and body.get("prompt") is not None:
            body = response_body(body, expand(Reference.read(body["prompt"]), now=time.monotonic()))
        alias = body.get("model") if isinstance(body, dict) else None
        if not isinstance(alias, str) or not alias:
            raise InvalidRequest("You must provide 'model', a string.", param="model")
        terms = catalogue.terms(alias=alias, kind="chat", currency=caller_of(request).currency)
        catalogue.check_key(terms, caller_of(request).key_id)
        tokens = count_input(body, terms, sight=sight_of(request))
        return Response({"object": "response.input_tokens", "input_tokens": tokens})
