"""The admin's site: who may enter, the choice of a tenant, pages in groups. Log-in is `tenants.accounts`' business."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import URLPattern, path, reverse
from unfold.sites import UnfoldAdminSite

from tenants.accounts.backends import by_password
from tenants.desk.invitation import AcceptInvitation
from tenants.desk.pages import PAGES
from tenants.desk.visitor import CHOSEN, visitor_of
from tenants.members import tenants_at

from . import desk  # noqa: F401  for effect: its pages register themselves
from .demo.past_calls import TAG
from .navigation import places


class AtriumAdminSite(UnfoldAdminSite):
    """unfold's site. What a visitor sees is `tenants.desk.visitor`'s and `tenants.permissions`' to say."""

    site_title = site_header = "Atrium"
    index_title = "Home"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Platform staff and members of a tenant; `User.is_staff` does not matter."""
        return visitor_of(request) is not None

    def get_urls(self) -> list[URLPattern]:
        """Also the choice between tenants, and the desk's own pages."""
        own = [path(page.path, self.admin_view(page.as_view()), name=name) for name, page in PAGES.items()]
        return [
            path("invitation/<str:token>/", AcceptInvitation.as_view(), name="invitation"),
            path("tenant/", self.admin_view(self.choose_tenant), name="choose_tenant"),
            *own,
            *super().get_urls(),
        ]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Also whose desk this is."""
        visitor = visitor_of(request)
        context = {**super().each_context(request), "visitor": visitor}
        if visitor is not None:
            context["site_subheader"] = visitor.tenant.name if visitor.tenant else "Platform staff"
        return context

    # --- a member of several tenants ---

    def choose_tenant(self, request: HttpRequest) -> HttpResponse:
        """Where a member of several tenants changes the desk."""
        visitor = visitor_of(request)
        if visitor is None or visitor.staff or visitor.viewing:
            raise Http404
        tenants = tenants_at(visitor.seats)
        if request.method == "POST":
            chosen = request.POST.get("tenant", "")
            if chosen not in {str(tenant.id) for tenant in tenants}:
                raise Http404
            request.session[CHOSEN] = str(UUID(chosen))
            return HttpResponseRedirect(reverse("admin:index"))
        context = {**self.each_context(request), "title": "Choose a tenant", "tenants": tenants}
        return TemplateResponse(request, "admin/choose_tenant.html", context)

    # --- the menu ---

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        """The admin's lists as `config.navigation` has them, instead of by Django app and alphabet."""
        apps, visitor = super().get_app_list(request, app_label), visitor_of(request)
        if app_label is not None or visitor is None:
            return apps
        found = {model["model"]._meta.label_lower: model for app in apps for model in app["models"]}
        groups = []
        for group, pages in places(staff=visitor.staff).items():
            models = [found[page] for page in pages if page in found]
            for model in models:
                model["name"] = self._page_of(model).name_for(visitor)
            shared = {"app_url": reverse("admin:index"), "has_module_perms": True}
            groups.append({"name": group, "app_label": group.lower(), "models": models, **shared})
        return [group for group in groups if group["models"]]

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """unfold's navigation: lists and pages of the desk that the visitor may view."""
        visitor = visitor_of(request)
        if visitor is None:
            return []
        found = {
            model["model"]._meta.label_lower: (
                model["name"],
                self._page_of(model).icon,
                self._page_of(model).link_for(visitor),
            )
            for group in self.get_app_list(request)
            for model in group["models"]
        }
        found |= {
            name: (page.label, page.icon, reverse(f"admin:{name}"))
            for name, page in PAGES.items()
            if page.label and page.may(visitor)
        }
        groups = [{"title": "", "items": [_item(request, "Home", "home", reverse("admin:index"))]}]
        for group, pages in places(staff=visitor.staff).items():
            items = [_item(request, *found[page]) for page in pages if page in found]
            groups += [{"title": group, "items": items}] if items else []
        return groups

    def _page_of(self, model: dict[str, Any]) -> Any:
        return self._registry[model["model"]]

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Off: unfold remembers findings by user and words, and a user may have several tenants."""
        raise Http404


def _item(request: HttpRequest, title: str, icon: str, link: str) -> dict[str, Any]:
    active = request.path == link or (link != reverse("admin:index") and request.path.startswith(link))
    return {"title": title, "icon": icon, "link": link, "active": active, "has_permission": True}


def stylesheet(request: HttpRequest) -> str:
    """What the desk's own pages are made of."""
    return static("desk/desk.css")


def environment(request: HttpRequest) -> list[str] | None:
    """The label at the top of every page: whether this tenant's history is the demo's."""
    visitor = visitor_of(request)
    demo = visitor is not None and visitor.tenant is not None and TAG in visitor.tenant.allocation_tags
    return ["Demo: the history is made up", "warning"] if demo else None


def alpine_scope(request: HttpRequest) -> str:
    """What lets unfold's pages work without `'unsafe-eval'`."""
    return static("desk/alpine_csp.js")


def favicon(request: HttpRequest) -> str:
    """What a browser's tab shows."""
    return static("desk/favicon.svg")


def account_links(request: HttpRequest) -> list[dict[str, str]]:
    """The menu under the visitor's name."""
    links = []
    visitor = visitor_of(request)
    if visitor is not None and len(visitor.seats) > 1:
        links.append({"title": "Switch tenant", "link": reverse("admin:choose_tenant")})
    if request.user.is_authenticated and by_password(request):
        links.append({"title": "Your account", "link": reverse("mfa_index")})
    return links
