"""`POST /v1/estimates`: what a call or an ingestion would cost, without making it. Amounts are decimal strings."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.reservations import plain
from knowledge.request_fields import ChunkingInput, chunking_of
from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest
from tenants.ids import parse_public_id

from ..prompts import Reference, expand
from ..prompts.calls import chat_body
from ..responses.prompted import response_body
from .calls import KINDS, Estimate, estimate_call
from .ingestion import Ingestion, estimate_ingestion

_EXPANDED = {"/v1/chat/completions": chat_body, "/v1/responses": response_body}


class IngestionRequest(serializers.Serializer):
    """A file, or so many bytes of plain text."""

    file_id = serializers.CharField(required=False)
    bytes = serializers.IntegerField(required=False, min_value=1, max_value=10**12)
    vector_store_id = serializers.CharField(required=False, help_text="With its model only.")
    chunking_strategy = ChunkingInput(required=False)


class EstimateRequest(serializers.Serializer):
    """A call as a batch's line names it, or an ingestion."""

    url = serializers.ChoiceField(choices=list(KINDS), required=False)
    body = serializers.DictField(required=False, help_text="The call's; `model` may be left out.")
    ingestion = IngestionRequest(required=False)


class ModelEstimate(serializers.Serializer):
    """What one model would cost."""

    model = serializers.CharField()
    likely = serializers.CharField(
        allow_null=True, help_text="By what is left of the month's allowances, in the tier that it has reached."
    )
    most = serializers.CharField(
        allow_null=True, help_text="What a call would hold of the budgets. Null where a file must be read first."
    )
    units = serializers.DictField(child=serializers.IntegerField(), help_text="Meter → what is likely used.")
    error = serializers.DictField(allow_null=True, help_text="Why this model cannot answer.")


class EstimateObject(serializers.Serializer):
    """An estimate, with the prices of this moment."""

    object = serializers.ChoiceField(["estimate"])
    created = serializers.IntegerField()
    currency = serializers.CharField()
    data = ModelEstimate(many=True)  # type: ignore[assignment]  # "data" is a member of the answer


class EstimatesView(TenantAPIView):
    """`/v1/estimates`."""

    scopes = {"POST": "inference"}

    @extend_schema(
        operation_id="estimate", summary="Estimate a cost", request=EstimateRequest, responses=EstimateObject
    )
    def post(self, request: Request) -> Response:
        """What a call or an ingestion would cost at today's prices, on each model that your key may use."""
        asked = EstimateRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        given, caller, now = asked.validated_data, caller_of(request), datetime.now(UTC)
        if ("ingestion" in given) == ("url" in given) or ("url" in given) != ("body" in given):
            raise InvalidRequest("Send 'url' and 'body' of a call, or 'ingestion'.", param="url")
        if "ingestion" in given:
            found = estimate_ingestion(wanted=_ingestion(given["ingestion"]), caller=caller, now=now)
        else:
            body = _expanded(given["url"], given["body"])
            found = estimate_call(url=given["url"], body=body, caller=caller, now=now)
        created = int(now.timestamp())
        data = [_shape(one) for one in found]
        return Response({"object": "estimate", "created": created, "currency": caller.currency, "data": data})


def _expanded(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """A body that names a prompt, as the one that it stands for."""
    if url not in _EXPANDED or body.get("prompt") is None:
        return body
    return _EXPANDED[url](body, expand(Reference.read(body["prompt"]), now=time.monotonic()))


def _ingestion(given: dict[str, Any]) -> Ingestion:
    if ("file_id" in given) == ("bytes" in given):
        raise InvalidRequest("Send one of 'file_id' and 'bytes'.", param="ingestion.file_id")
    return Ingestion(
        file_id=_id("file-", given.get("file_id")),
        bytes=given.get("bytes", 0),
        store_id=_id("vs_", given.get("vector_store_id")),
        chunking=chunking_of(given.get("chunking_strategy")),
    )


def _id(prefix: str, text: str | None) -> UUID | None:
    """The id; of a text that is none one that nothing has."""
    return None if text is None else parse_public_id(prefix, text) or UUID(int=0)


def _shape(one: Estimate) -> dict[str, Any]:
    return {
        "model": one.model,
        "likely": None if one.likely is None else plain(one.likely),
        "most": None if one.most is None else plain(one.most),
        "units": dict(one.units),
        "error": None if one.error is None else one.error.body()["error"],
    }
