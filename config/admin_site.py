"""The admin's site: who may enter, log-in under its limits, the choice of a tenant, pages in groups."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from redis.exceptions import RedisError
from unfold.sites import UnfoldAdminSite

from tenants.admin_base import GROUPS
from tenants.admin_login import LoginForm, attempt_allowed, note_failure, note_success
from tenants.admin_scope import CHOSEN, visitor_of
from tenants.members import tenants_at


class AtriumAdminSite(UnfoldAdminSite):
    """unfold's site. What a visitor sees is `tenants.admin_scope`'s and `tenants.permissions`' to say."""

    login_form = LoginForm
    site_title = site_header = "Atrium"
    index_title = "Home"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Platform staff and members of a tenant; `User.is_staff` does not matter."""
        return visitor_of(request) is not None

    def get_urls(self) -> list[URLPattern]:
        """Also the choice between tenants."""
        return [path("tenant/", self.admin_view(self.choose_tenant), name="choose_tenant"), *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Also whose desk this is."""
        visitor = visitor_of(request)
        context = {**super().each_context(request), "visitor": visitor}
        if visitor is not None:
            context["site_subheader"] = visitor.tenant.name if visitor.tenant else "Platform staff"
        return context

    # --- log-in ---

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Django's log-in; after too many failures a page that says so (429), without counters one that says that."""
        if request.method != "POST":
            return super().login(request, extra_context)
        try:
            if not attempt_allowed(request):
                text = "Too many failed attempts to log in. Wait five minutes, then try again."
                return self._notice(request, "Too many attempts", text, status=429)
            response = super().login(request, extra_context)
            succeeded = response.status_code == 302
            (note_success if succeeded else note_failure)(request)
        except RedisError:
            text = "Log-in is away for the moment. Try again shortly."
            return self._notice(request, "Temporarily unavailable", text, status=503)
        return response

    def _notice(self, request: HttpRequest, title: str, message: str, *, status: int) -> TemplateResponse:
        context = {**self.each_context(request), "title": title, "message": message}
        headers = {"Retry-After": "300" if status == 429 else "5"}
        return TemplateResponse(request, "admin/notice.html", context, status=status, headers=headers)

    # --- a member of several tenants ---

    def choose_tenant(self, request: HttpRequest) -> HttpResponse:
        """Where a member of several tenants changes the desk."""
        visitor = visitor_of(request)
        if visitor is None or visitor.staff:
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

    # --- pages in groups ---

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        """The index: pages by group, in the order of their modules, instead of by Django app and alphabet."""
        apps, visitor = super().get_app_list(request, app_label), visitor_of(request)
        if app_label is not None or visitor is None:
            return apps
        order = {model: number for number, model in enumerate(self._registry)}
        models = sorted((model for app in apps for model in app["models"]), key=lambda model: order[model["model"]])
        groups: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
        for model in models:
            page: Any = self._registry[model["model"]]
            group, model["name"] = page.place(visitor)
            groups[group].append(model)
        shared = {"app_url": reverse("admin:index"), "has_module_perms": True}
        return [
            {"name": group, "app_label": group.lower(), "models": listed, **shared}
            for group, listed in groups.items()
            if listed
        ]

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """unfold's navigation, made from the pages that the visitor may view."""
        home = {"title": "Home", "icon": "home", "link": reverse("admin:index"), "has_permission": True}
        home["active"] = request.path == home["link"]
        groups = [{"title": "", "items": [home]}]
        for group in self.get_app_list(request):
            items = [
                {
                    "title": model["name"],
                    "icon": getattr(self._registry[model["model"]], "icon", ""),
                    "link": model["admin_url"],
                    "active": request.path.startswith(model["admin_url"]),
                    "has_permission": True,
                }
                for model in group["models"]
            ]
            groups.append({"title": group["name"], "items": items})
        return groups

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Off: unfold remembers findings by user and words, and a user may have several tenants."""
        raise Http404


def account_links(request: HttpRequest) -> list[dict[str, str]]:
    """The menu under the visitor's name."""
    links = []
    visitor = visitor_of(request)
    if visitor is not None and len(visitor.seats) > 1:
        links.append({"title": "Switch tenant", "link": reverse("admin:choose_tenant")})
    if request.user.is_authenticated and request.user.has_usable_password():
        links.append({"title": "Change password", "link": reverse("admin:password_change")})
    return links
