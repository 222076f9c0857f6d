"""The page of people, for platform staff: somebody is made, and taken out of service."""

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.db import connections
from django.test import Client
from django.urls import reverse

from tenants.desk.base import AtriumAdmin
from tenants.models import User
from tenants.provisioning import seat_staff
from tests.tenants.admin_desk import desk, plain_static_files

__all__ = ["plain_static_files"]

PASSWORD = "correct horse battery"


@pytest.fixture
def staff(committed) -> Iterator[Client]:
    """One of them; Django's own log of what they did goes at the end, the people with the rest."""
    yield desk(seat_staff(email="boss@platform.example", password=PASSWORD))
    with connections["owner"].cursor() as cursor:
        cursor.execute("DELETE FROM django_admin_log")


def test_every_form_for_a_new_row_opens_for_staff(staff):
    for model, page in admin.site._registry.items():
        if isinstance(page, AtriumAdmin) and "add" in page.offers:
            url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
            assert staff.get(url).status_code == 200, url


def test_staff_make_a_colleague_and_take_them_out_of_service(staff):
    said = {"username": "ann", "email": "ann@platform.example", "usable_password": "true"}
    staff.post("/admin/tenants/user/add/", {**said, "password1": PASSWORD, "password2": PASSWORD})
    ann = User.objects.get(username="ann")
    assert ann.check_password(PASSWORD) and ann.email == "ann@platform.example" and ann.is_active

    page = f"/admin/tenants/user/{ann.pk}/change/"
    assert staff.get(page).status_code == 200
    staff.post(page, {"username": "ann", "email": ann.email})
    ann.refresh_from_db()
    assert not ann.is_active and ann.check_password(PASSWORD)
