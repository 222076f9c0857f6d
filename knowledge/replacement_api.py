"""`/v1/files/{id}/replace`: a file followed by a newer version wherever it is attached. Ours; OpenAI has none."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_view import TenantAPIView
from tenants.authentication import caller_of
from tenants.idempotency import idempotent
from tenants.ids import parse_public_id

from . import tasks
from .files_api import PREFIX


class FileReplacementView(TenantAPIView):
    """A file's next version."""

    scopes = {"POST": "files.write"}

    class Replace(serializers.Serializer):
        """The newer version: a file of its own, uploaded before."""

        file_id = serializers.CharField()

    class Output(serializers.Serializer):
        """In how many stores the newer version is on its way."""

        id = serializers.CharField()
        object = serializers.CharField(default="file.replacement")
        replaced_by = serializers.CharField()
        vector_stores = serializers.IntegerField()

    @extend_schema(operation_id="replace_file", request=Replace, responses=Output)
    @idempotent()
    def post(self, request: Request, file_id: str) -> Response:
        """Let a newer file take the place of this one in every vector store that has it. This one answers until the
        newer one is ingested there, and is deleted when every store has switched.
        """
        body = self.Replace(data=request.data)
        body.is_valid(raise_exception=True)
        caller, newer = caller_of(request), body.validated_data["file_id"]
        stores = tasks.start_replacement(
            old_file_id=parse_public_id(PREFIX, file_id),
            new_file_id=parse_public_id(PREFIX, newer),
            by=caller.actor,
            key_id=caller.key_id,
            sight=caller.sight,
        )
        return Response({"id": file_id, "object": "file.replacement", "replaced_by": newer, "vector_stores": stores})
