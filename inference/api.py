"""`/v1/models`: exactly what the caller's tenant was granted."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of

from .catalogue import UnknownModel, granted_models
from .models import Grant


class ModelObject(serializers.Serializer):
    """A model that the tenant may name in `model`."""

    id = serializers.CharField(help_text="What to send as `model`.")
    object = serializers.ChoiceField(["model"])
    created = serializers.IntegerField(help_text="Unix seconds.")
    owned_by = serializers.CharField()


class ModelList(serializers.Serializer):
    """All of them; this list is not paged."""

    object = serializers.ChoiceField(["list"])
    data = ModelObject(many=True)  # type: ignore[assignment]  # "data" is a member of the answer


def _shape(grant: Grant) -> dict[str, object]:
    model = grant.model
    created = int(model.created_at.timestamp())
    return {"id": grant.alias, "object": "model", "created": created, "owned_by": model.owned_by}


class ModelListView(TenantAPIView):
    """GET /v1/models."""

    scopes = {"GET": "inference"}

    @extend_schema(operation_id="list_models", summary="List models", tags=["models"], responses=ModelList)
    def get(self, request: Request) -> Response:
        """The models that your key may use."""
        return Response(
            {"object": "list", "data": [_shape(grant) for grant in granted_models(key_id=caller_of(request).key_id)]}
        )


class ModelView(TenantAPIView):
    """GET /v1/models/{id}; an id may hold `/` and `:`."""

    scopes = {"GET": "inference"}

    @extend_schema(operation_id="get_model", summary="Retrieve a model", tags=["models"], responses=ModelObject)
    def get(self, request: Request, model_id: str) -> Response:
        """One of the models that your key may use."""
        grants = granted_models(key_id=caller_of(request).key_id)
        found = next((grant for grant in grants if grant.alias == model_id), None)
        if found is None:
            names = ", ".join(grant.alias for grant in grants) or "none"
            raise UnknownModel(
                f"The model '{model_id}' does not exist or is not granted. Granted: {names}.", param="model"
            )
        return Response(_shape(found))
