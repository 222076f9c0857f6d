"""Who may see and change what a page of the admin shows. It asks `tenants.permissions` through the visitor, and nobody else."""

from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from .visitor import visitor_of


class Guarded(ModelAdmin):
    """A page that lets in whom the table of roles lets in."""

    #: The object of `tenants.permissions` that guards the page; empty: platform staff only.
    area = ""
    #: What the page offers to those who hold `<area>.change`: "add", "change", "delete".
    offers: frozenset[str] = frozenset()

    def may(self, request: HttpRequest, verb: str) -> bool:
        """Whether the visitor may `view` or `change` here."""
        visitor = visitor_of(request)
        return visitor is not None and visitor.may(f"{self.area}.{verb}")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Listed for those who may view."""
        return self.may(request, "view")

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """See `ROLE_PERMISSIONS`."""
        return self.may(request, "view")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """See `ROLE_PERMISSIONS` and `offers`."""
        return "add" in self.offers and self.may(request, "change")

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """See `ROLE_PERMISSIONS` and `offers`."""
        return "change" in self.offers and self.may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """See `ROLE_PERMISSIONS` and `offers`."""
        return "delete" in self.offers and self.may(request, "change")

    def _refuse_strangers(self, request: HttpRequest) -> None:
        """Before any row is looked for: Django looks first, and its answer tells which ids exist."""
        if not self.may(request, "view"):
            raise PermissionDenied
