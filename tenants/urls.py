"""URLs of tenants, under /v1."""

from django.urls import path

from . import allocation_api, keys_api, platform_api, signing_secrets_api
from .webhooks import deliveries_api, endpoints_api

urlpatterns = [
    path("api_keys", keys_api.KeysView.as_view()),
    path("api_keys/<str:key_id>", keys_api.KeyView.as_view()),
    path("allocation_tags", allocation_api.AllocationTagsView.as_view()),
    path("signing_secrets", signing_secrets_api.SigningSecretsView.as_view()),
    path("signing_secrets/<str:secret_id>", signing_secrets_api.SigningSecretView.as_view()),
    path("signing_secrets/<str:secret_id>/rotate", signing_secrets_api.SigningSecretRotationView.as_view()),
    path("webhook_endpoints", endpoints_api.EndpointsView.as_view()),
    path("webhook_endpoints/<str:endpoint_id>", endpoints_api.EndpointView.as_view()),
    path("webhook_endpoints/<str:endpoint_id>/rotate_secret", endpoints_api.RotationView.as_view()),
    path("webhook_endpoints/<str:endpoint_id>/test", deliveries_api.TestView.as_view()),
    path("webhook_event_types", endpoints_api.EventTypesView.as_view()),
    path("webhook_deliveries", deliveries_api.DeliveriesView.as_view()),
    path("webhook_deliveries/<str:delivery_id>", deliveries_api.DeliveryView.as_view()),
    path("webhook_deliveries/<str:delivery_id>/resend", deliveries_api.ResendView.as_view()),
    path("platform/tenants", platform_api.TenantsView.as_view()),
    path("platform/tenants/<str:tenant_id>", platform_api.TenantView.as_view()),
    path("platform/tenants/<str:tenant_id>/suspend", platform_api.SuspendView.as_view()),
    path("platform/tenants/<str:tenant_id>/resume", platform_api.ResumeView.as_view()),
]
