"""The admin's site: who may enter, the choice of a tenant, pages in groups. Log-in is `tenants.accounts`' business."""

from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import URLPattern, path, reverse
from unfold.sites import UnfoldAdminSite

from tenants.accounts.backends import by_password
from tenants.carried import Carried
from tenants.desk.invitation import AcceptInvitation
from tenants.desk.pages import PAGES
from tenants.desk.visitor import CHOSEN, Visitor, visitor_of
from tenants.members import tenants_at

from . import desk  # noqa: F401  for effect: its pages register themselves
from .demo.past_calls import TAG
from .navigation import families


@dataclass(frozen=True)
class Place:
    """A page in the menu, or among the tabs of its family."""

    title: str
    icon: str
    link: str

    def holds(self, path: str) -> bool:
        """Whether a path is the page's, or of a page under it."""
        return path.startswith(self.link)


#: Heading → families of pages, for the request's visitor.
_MENU = Carried[dict[str, list[list[Place]]]]("desk_menu")


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
        """Also whose desk this is, and what else there is about the same thing."""
        visitor = visitor_of(request)
        context = {**super().each_context(request), "visitor": visitor}
        if visitor is not None:
            context["family"] = self.tabs(request)
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
        for group, pages in families(staff=visitor.staff).items():
            models = [found[page] for page in chain(*pages) if page in found]
            for model in models:
                model["name"] = self._page_of(model).name_for(visitor)
            shared = {"app_url": reverse("admin:index"), "has_module_perms": True}
            groups.append({"name": group, "app_label": group.lower(), "models": models, **shared})
        return [group for group in groups if group["models"]]

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """unfold's navigation: of each family of pages the first that the visitor may view."""
        home = Place("Home", "home", reverse("admin:index"))
        groups = [{"title": "", "items": [_item(home, request.path == home.link)]}]
        for group, found in self.menu(request).items():
            items = [_item(places[0], any(place.holds(request.path) for place in places)) for places in found]
            groups += [{"title": group, "items": items}] if items else []
        return groups

    def tabs(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The pages of the family that the page belongs to; none where it is the only one, or a page within a page."""
        for places in chain(*self.menu(request).values()):
            if len(places) > 1 and any(place.link == request.path for place in places):
                return [{"place": place, "current": place.link == request.path} for place in places]
        return []

    def menu(self, request: HttpRequest) -> dict[str, list[list[Place]]]:
        """Heading → families → what the visitor may view of them; worked out once for a request."""
        menu, visitor = _MENU.by(request), visitor_of(request)
        if menu is None:
            found = self._places(request, visitor) if visitor else {}
            menu = {
                group: [places for pages in listed if (places := [found[page] for page in pages if page in found])]
                for group, listed in families(staff=visitor is not None and visitor.staff).items()
            }
            _MENU.put(request, menu)
        return menu

    def _places(self, request: HttpRequest, visitor: Visitor) -> dict[str, Place]:
        models = [model for group in self.get_app_list(request) for model in group["models"]]
        lists = {model["model"]._meta.label_lower: (model["name"], self._page_of(model)) for model in models}
        return {name: Place(title, page.icon, page.link_for(visitor)) for name, (title, page) in lists.items()} | {
            name: Place(page.label, page.icon, reverse(f"admin:{name}"))
            for name, page in PAGES.items()
            if page.label and page.may(visitor)
        }

    def _page_of(self, model: dict[str, Any]) -> Any:
        return self._registry[model["model"]]

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Off: unfold remembers findings by user and words, and a user may have several tenants."""
        raise Http404


def _item(place: Place, active: bool) -> dict[str, Any]:
    return {"title": place.title, "icon": place.icon, "link": place.link, "active": active, "has_permission": True}


def stylesheet(request: HttpRequest) -> str:
    """What the desk's own pages are made of."""
    return static("desk/desk.css")


def environment(request: HttpRequest) -> list[str] | None:
    """The label at the top of every page: whether this tenant's history is the demo's."""
    visitor = visitor_of(request)
    demo = visitor is not None and visitor.tenant is not None and TAG in visitor.tenant.allocation_tags
    return ["Demo data", "warning"] if demo else None


def alpine_scope(request: HttpRequest) -> str:
    """What lets unfold's pages work without `'unsafe-eval'`."""
    return static("desk/alpine_csp.js")


def icons(request: HttpRequest) -> str:
    """What keeps the words of icons from screen readers."""
    return static("desk/icons.js")


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
