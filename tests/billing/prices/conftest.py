"""Price books are the platform's, so these tests commit; what they add goes at the end."""

from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from rest_framework.test import APIClient

from billing.models import PlanAllowance, Price, ProviderPrice
from tenants.api_keys import issue_platform_key
from tenants.scope import as_staff
from tests.conftest import Member


@pytest.fixture
def books(committed: Callable[[str], Member]) -> Iterator[None]:
    with as_staff():
        before = set(Price.objects.values_list("id", flat=True))
    yield
    with as_staff():
        Price.objects.exclude(id__in=before).delete()
        ProviderPrice.objects.all().delete()
        PlanAllowance.objects.all().delete()
    with connections["owner"].cursor() as cursor:
        cursor.execute("DELETE FROM django_admin_log")


@pytest.fixture
def operator(books: None) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_platform_key(name='finance')}")
    return client
