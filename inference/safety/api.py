"""`/v1/safety_policy`, its versions and its trial, and what the screens found in calls."""

import json
from typing import Any

from django.db.models import OuterRef, Subquery
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.errors import InvalidRequest
from tenants.ids import parse_public_id, public_id
from tenants.pagination import list_of, page
from tenants.scope import tenant_scope

from ..models import Generation, SafetyPolicy, Screening
from ..requests import parse
from . import policies, verdicts
from .policy import SafetySettings, Stage, Strict
from .trial import Trial, try_policy

READ, WRITE = "safety.read", "safety.write"
MOST_TRIED = 100_000
_CALL_PREFIXES = {"chat": "chatcmpl-", "response": "resp_"}
_FOR_MODEL = OpenApiParameter(
    "model", str, description="The alias of a model: its own policy, which counts instead of the general one, whole."
)
_WHAT = (
    "A policy says which screens run on messages (`input`), on retrieved passages (`passages`) and on answers (`output`), and "
    "whether a find is blocked, masked by a placeholder or only recorded. A refused request answers 400 with the code "
    "`content_filter`; an answer that is cut off has `finish_reason: content_filter`. Changes hold within five seconds.\n\n"
    "What the screens cannot do: `personal_data` works by form and checksum and sees no names, postal addresses or dates of "
    "birth. `deny_list` and `profanity` find words as they are spelled, in any case, width and accent form, not in disguise "
    "(`b4d`), not inflected. `secrets` knows the forms of well-known services, and values that are called a password or a key "
    "and look random. `malicious_code` knows some forty phrases; it does not understand code. `prompt_injection` knows "
    "phrases in English, German, French and Spanish: an instruction in other words, in an image or in a code passes, and a "
    "text about prompt injection is found like one. Images, audio and files in messages, the definitions of tools and "
    "`response_format` are not looked at, and `/v1/embeddings` is not screened. Streams are held back as far as a find may "
    "still begin, mostly some 30 to 60 characters, from a number on some more; arguments of tool calls until they are whole; "
    "with a moderation model some 1,000 characters at a time. A masked number in structured output may leave it invalid JSON."
)


class SafetyPolicyObject(serializers.Serializer):
    """One version of a policy."""

    id = serializers.CharField(allow_null=True, help_text="Null where no policy was ever set.")
    object = serializers.CharField()
    model = serializers.CharField(allow_null=True, help_text="Null: for every model without a policy of its own.")
    version = serializers.IntegerField(help_text="0 where no policy was ever set.")
    created_at = serializers.IntegerField(allow_null=True, help_text="Unix seconds.")
    settings = serializers.JSONField(help_text="As `SafetySettings`; null where this version removed the policy.")


class SafetyFinding(serializers.Serializer):
    """What a screen found in a text that was tried."""

    screen = serializers.CharField()
    action = serializers.CharField()
    category = serializers.CharField()
    start = serializers.IntegerField(help_text="In characters of the text given.")
    end = serializers.IntegerField()


class SafetyTrialObject(serializers.Serializer):
    """What the policy would do."""

    object = serializers.CharField()
    action = serializers.CharField(help_text="The sternest: block, mask, flag or none.")
    text = serializers.CharField(help_text="As it would go on: masked, and up to what is blocked.")
    findings = SafetyFinding(many=True)
    more_findings = serializers.IntegerField(help_text="Beyond the first 1,000.")
    not_asked = serializers.ListField(child=serializers.CharField(), help_text="Screens that a trial leaves out.")


class ScreeningObject(serializers.Serializer):
    """What a screen found in one stage of a call; never what was read."""

    id = serializers.CharField()
    object = serializers.CharField()
    call = serializers.CharField(help_text="The id of the completion or the response.")
    stage = serializers.CharField()
    screen = serializers.CharField()
    action = serializers.CharField()
    categories = serializers.ListField(child=serializers.CharField())
    count = serializers.IntegerField()
    details = serializers.JSONField(
        help_text="The first ten: category, place, span and a keyed digest, by which equal finds can be told."
    )
    created_at = serializers.IntegerField()


class SafetyTrial(Strict):
    """A text to try a policy on."""

    text: str
    stage: Stage = "input"
    model: str | None = None
    settings: SafetySettings | None = None


class SafetyPolicyView(TenantAPIView):
    """`/v1/safety_policy`."""

    scopes = {"GET": READ, "PUT": WRITE, "PATCH": WRITE, "DELETE": WRITE}

    @extend_schema(
        operation_id="get_safety_policy", parameters=[_FOR_MODEL], responses=SafetyPolicyObject, description=_WHAT
    )
    def get(self, request: Request) -> Response:
        """The policy, or the one of a model."""
        alias = _alias(request)
        row, _ = policies.current_policy(alias)
        return Response(_shape(row, alias))

    @extend_schema(
        operation_id="set_safety_policy", parameters=[_FOR_MODEL], request=SafetySettings, responses=SafetyPolicyObject,
        description="Replaces the policy whole, by a new version.",
    )  # fmt: skip
    def put(self, request: Request) -> Response:
        """Replace the policy."""
        alias, settings = _alias(request), parse(SafetySettings, _body(request))
        row = policies.set_policy(settings=settings, alias=alias, by=caller_of(request).actor)
        return Response(_shape(row, alias))

    @extend_schema(
        operation_id="change_safety_policy", parameters=[_FOR_MODEL], request=SafetySettings, responses=SafetyPolicyObject,
        description="Changes the members given (a JSON merge patch): null switches a screen off, lists are replaced.",
    )  # fmt: skip
    def patch(self, request: Request) -> Response:
        """Change members of the policy."""
        alias = _alias(request)
        row = policies.patch_policy(patch=request.data, alias=alias, by=caller_of(request).actor)
        return Response(_shape(row, alias))

    @extend_schema(operation_id="remove_safety_policy", parameters=[_FOR_MODEL], responses={204: None})
    def delete(self, request: Request) -> Response:
        """Remove the policy: nothing is screened; of a model, that the general one counts again. Its versions stay."""
        policies.remove_policy(alias=_alias(request), by=caller_of(request).actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SafetyPolicyVersionsView(TenantAPIView):
    """`/v1/safety_policy/versions`."""

    scopes = {"GET": READ}

    @extend_schema(operation_id="list_safety_policy_versions", responses=list_of(SafetyPolicyObject))
    def get(self, request: Request) -> Response:
        """Every version of every policy, newest first; to go back to one, set it again."""
        with tenant_scope():
            rows = SafetyPolicy.objects.all()
            return Response(page(rows, request, prefix=policies.PREFIX, shape=lambda row: _shape(row, row.alias)))


class SafetyTrialView(TenantAPIView):
    """`/v1/safety_policy/try`."""

    scopes = {"POST": READ}

    @extend_schema(
        operation_id="try_safety_policy", request=SafetyTrial, responses=SafetyTrialObject,
        description="What the policy (or `settings`, one that is not in force) would do with a text at a stage. Nothing is "
        "called, charged or recorded; moderation models are not asked.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Try a policy on a text."""
        asked = parse(SafetyTrial, _body(request))
        if len(asked.text) > MOST_TRIED:
            raise InvalidRequest(f"Invalid 'text': at most {MOST_TRIED} characters.", param="text")
        settings = asked.settings or policies.settings_for(asked.model or policies.GENERAL)
        return Response(_trial(try_policy(settings=settings, stage=asked.stage, text=asked.text)))


class ScreeningsView(TenantAPIView):
    """`/v1/safety_screenings`."""

    scopes = {"GET": READ}

    @extend_schema(
        operation_id="list_safety_screenings",
        parameters=[OpenApiParameter("call", str, description="Of one completion or response only, by its id.")],
        responses=list_of(ScreeningObject),
    )
    def get(self, request: Request) -> Response:
        """What the screens found in your calls, newest first."""
        with tenant_scope():
            kind = Generation.objects.filter(id=OuterRef("generation_id")).values("kind")[:1]
            rows = Screening.objects.annotate(kind=Subquery(kind))
            if "call" in request.query_params:
                asked = request.query_params["call"]
                calls = filter(None, (parse_public_id(prefix, asked) for prefix in _CALL_PREFIXES.values()))
                rows = rows.filter(generation_id__in=list(calls))
            return Response(page(rows, request, prefix=verdicts.PREFIX, shape=_screening))


def _alias(request: Request) -> str:
    alias = str(request.query_params.get("model", policies.GENERAL))
    if "\0" in alias or len(alias) > 200:
        raise InvalidRequest("Invalid 'model': not an alias.", param="model")
    return alias


def _body(request: Request) -> bytes:
    """For `parse`, which refuses what the database could not keep."""
    return json.dumps(request.data).encode()


def _shape(row: SafetyPolicy | None, alias: str) -> dict[str, Any]:
    return {
        "id": public_id(policies.PREFIX, row.id) if row else None,
        "object": "safety_policy",
        "model": alias or None,
        "version": row.version if row else 0,
        "created_at": int(row.created_at.timestamp()) if row else None,
        "settings": row.settings if row else SafetySettings().model_dump(exclude_none=True),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "object": "safety_trial",
        "action": trial.action,
        "text": trial.text,
        "findings": [
            {"screen": hit.screen, "action": hit.action, "category": hit.category, "start": hit.start, "end": hit.end}
            for hit in trial.findings
        ],
        "more_findings": trial.more,
        "not_asked": trial.not_asked,
    }


def _screening(row: Any) -> dict[str, Any]:
    return {
        "id": public_id(verdicts.PREFIX, row.id),
        "object": "safety_screening",
        "call": public_id(_CALL_PREFIXES.get(row.kind or "", "chatcmpl-"), row.generation_id),
        "stage": row.stage,
        "screen": row.screen,
        "action": row.action,
        "categories": row.categories,
        "count": row.count,
        "details": row.details,
        "created_at": int(row.created_at.timestamp()),
    }
