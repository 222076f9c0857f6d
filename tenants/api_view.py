"""Base classes of the REST endpoints: whom they act for begins and ends with the request."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.views import APIView

from .authentication import HasPlatformScope, PlatformKeyAuthentication
from .permissions import FINANCE, OPERATOR
from .scope import as_staff, leave_tenant


class TenantAPIView(APIView):
    """Base of the tenant's REST endpoints: the current tenant that the authenticator sets ends with the request."""

    #: HTTP method → the key scope it needs.
    scopes: dict[str, str] = {}

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """DRF's dispatch between a clean start and a clean end."""
        with leave_tenant():
            return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]


class PlatformAPIView(APIView):
    """Base of the operator's endpoints: they see every tenant through the audited staff role."""

    authentication_classes = [PlatformKeyAuthentication]
    permission_classes: list[type[BasePermission]] = [HasPlatformScope]
    #: The scope that the key needs.
    platform_scope = OPERATOR

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """DRF's dispatch, as staff."""
        with leave_tenant(), as_staff():
            return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]


class PlatformFinanceView(PlatformAPIView):
    """Base of the endpoints of the platform's finance: prices, months, bills, files."""

    platform_scope = FINANCE
