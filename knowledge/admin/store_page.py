"""What the pages of one vector store have in common: the store, its tabs, and the tenant for whom they act."""

from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from tenants.desk.pages import DeskData, DeskPage, DeskView
from tenants.desk.visitor import visitor_of
from tenants.errors import NotFound
from tenants.ids import public_id
from tenants.scope import acting_for, tenant_scope

from ..models import VectorStore
from .owners import store_or_none

#: The pages of a store: what a tab says, the page's name.
TABS = (
    ("Files", "store_files"),
    ("Search", "store_search"),
    ("Sources", "store_sources"),
    ("Settings", "knowledge_vectorstore_change"),
)


def tabs_of(store: VectorStore, here: str) -> list[dict[str, Any]]:
    """The tabs above each page of a store; `here` is the one that is open."""
    return [
        {"title": title, "url": reverse(f"admin:{name}", args=[store.id]), "current": name == here}
        for title, name in TABS
    ]


class OfStore(DeskView, ABC):
    """A view of one store, found before anything else: for staff in the name of the tenant that owns it."""

    store: VectorStore

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """As `DeskView`'s, for the store's tenant; in its scope, unless the view waits."""
        if not self.may(visitor_of(request), request.method or ""):
            raise PermissionDenied  # before any row is looked for
        store = store_or_none(kwargs["store_id"])
        if store is None:
            return self.missing(request)
        self.store = store
        with acting_for(store.tenant_id), nullcontext() if self.waits else tenant_scope():
            return super().dispatch(request, *args, **kwargs)

    @abstractmethod
    def missing(self, request: HttpRequest) -> HttpResponse:
        """The answer where the store is not the visitor's, or no more."""


class StorePage(OfStore, DeskPage):
    """A page under a store's tabs."""

    area = "documents"

    def missing(self, request: HttpRequest) -> HttpResponse:
        """Back to the list, which says so."""
        messages.warning(request, "This vector store does not exist. Perhaps it was deleted.")
        return HttpResponseRedirect(reverse("admin:knowledge_vectorstore_changelist"))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With the store and its tabs."""
        store = self.store
        shown = {"store": store, "store_public_id": public_id("vs_", store.id), "tabs": tabs_of(store, self.name)}
        shown |= {"title": str(store), "may_change": self.visitor.may("documents.change")}
        return {**super().get_context_data(**kwargs), **shown}


class StoreData(OfStore, DeskData):
    """A door for the scripts of a store's pages."""

    area = "documents"

    def missing(self, request: HttpRequest) -> HttpResponse:
        """404."""
        return self.refused(request, NotFound("This vector store does not exist. Perhaps it was deleted."))
