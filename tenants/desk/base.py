"""What every page of the admin over rows has in common: whose rows, how they are changed, how a refusal is told.

`AtriumAdmin` is for any row. `TenantAdmin` is for tenant-owned rows: the managers show a tenant its own only, writes go
through domain functions on behalf of the row's tenant (staff pick one when adding), those functions write the audit
row, and the history shows it. Who may do what is `guarded`'s, the history of tenant-owned rows `trail`'s.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from ..audit import record
from ..carried import Carried
from ..errors import AtriumError
from ..models import Tenant
from ..scope import acting_for, current_tenant
from . import conflicts
from .guarded import Guarded
from .lists import BoundedPaginator, DeskList
from .trail import OnTheTrail
from .visitor import Visitor, visitor_of

#: What a domain function refused, for the form that is shown again.
_REFUSAL = Carried[AtriumError]("refusal")


class AtriumAdmin(Guarded):
    """A page of the admin."""

    icon = "table_rows"
    #: What the menu calls the page; empty: the model's name.
    label = ""
    #: What the one button says that adds a row, where "Save" would be too vague; empty: unfold's three buttons.
    add_words = ""
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they count every value of every filter
    change_list_template = "desk/list.html"
    #: What an empty list says to do, and what one adds that has not found what was typed.
    empty_text, nothing_found_text = "Nothing here yet.", ""
    #: Whether platform staff see one tenant's rows at a time.
    by_tenant = False
    #: A list of words or numbers is typed with commas: a line is enough.
    formfield_overrides: Any = {ArrayField: {"widget": UnfoldAdminTextInputWidget}}
    empty_value_display = '<span class="desk-none">–</span>'
    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """With its filters above it."""
        return DeskList

    def name_for(self, visitor: Visitor) -> str:
        """What the menu calls the page."""
        return self.label or str(self.opts.verbose_name_plural).capitalize()

    def link_for(self, visitor: Visitor) -> str:
        """Where the menu leads: the list."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    #: Within the form: what stood there when it was shown (`conflicts`).
    change_form_before_template = "admin/seen.html"

    def get_form(
        self, request: HttpRequest, obj: models.Model | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        """Django's, which also says what a domain function refused, and that somebody else was faster."""
        made = super().get_form(request, obj, change=change, **kwargs)

        class Form(made):  # type: ignore[valid-type, misc]
            def clean(self) -> Any:
                cleaned = super().clean()
                if change:
                    conflicts.check(self, self.instance)
                if (error := _REFUSAL.by(request)) is not None:
                    raise forms.ValidationError(error.message)
                return cleaned

        Form.__name__ = made.__name__
        return Form

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """With what stands in the fields now."""
        if kwargs.get("change"):
            context["seen"] = conflicts.mark_of(context["adminform"].form, datetime.now(UTC))
        return super().render_change_form(request, context, *args, **kwargs)

    # Every POST is all or nothing, and a domain function's refusal is said on the page it came from.

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Django's. What is refused is said in the form, with what was typed still in it."""
        self._refuse_strangers(request)
        view = super().changeform_view
        if request.method != "POST":
            return view(request, object_id, form_url, extra_context)
        try:
            with transaction.atomic():
                if object_id is not None:
                    conflicts.wait_for_others(self.opts.label_lower, object_id)
                return view(request, object_id, form_url, extra_context)
        except AtriumError as error:
            _REFUSAL.put(request, error)
            for file in request.FILES.values():
                file.seek(0)  # type: ignore[union-attr]
            return view(request, object_id, form_url, extra_context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's, with refusals as messages."""
        view = super().delete_view
        return self._or_message(request, lambda: view(request, object_id, extra_context))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Django's, with refusals of actions as messages."""
        view = super().changelist_view
        return self._or_message(request, lambda: view(request, extra_context))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's, for those who may view."""
        self._refuse_strangers(request)
        return super().history_view(request, object_id, extra_context)

    def _or_message(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        self._refuse_strangers(request)
        if request.method != "POST":
            return view()
        try:
            with transaction.atomic():
                return view()
        except AtriumError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


class TenantForm(forms.ModelForm):
    """The form that adds a tenant's row: staff say for which tenant, nobody else is asked."""

    visitor: Visitor
    for_tenant: forms.ModelChoiceField = forms.ModelChoiceField(
        queryset=None, label="Tenant", widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.visitor.staff:
            field: Any = self.fields["for_tenant"]
            field.queryset = Tenant.objects.order_by("slug")
        else:
            del self.fields["for_tenant"]


class TenantAdmin(OnTheTrail, AtriumAdmin):
    """A page over rows that belong to tenants."""

    add_form: type[forms.ModelForm] = TenantForm
    add_fields: tuple[str, ...] = ()
    #: Whether a row's tenant is worth a column for staff.
    shows_tenant = True

    # --- whose rows ---

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Staff see whose a row is."""
        columns = [*super().get_list_display(request)]
        return [*columns, "tenant"] if self._names_tenant(request) else columns

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        """With the tenant, for staff's column."""
        named: Any = self.list_select_related or ()
        related = list(named)
        return [*related, "tenant"] if self._names_tenant(request) else related

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Staff find rows by their tenant too."""
        fields = [*super().get_search_fields(request)]
        return [*fields, "tenant__slug"] if self._names_tenant(request) else fields

    def _names_tenant(self, request: HttpRequest) -> bool:
        return self.shows_tenant and self._visitor(request).staff

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        """The fields of the row; when adding, of the form that adds."""
        if obj is not None:
            named: Any = self.fields or ()
            return tuple(named)
        return ("for_tenant", *self.add_fields) if self._names_tenant(request) else self.add_fields

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        """A form that adds has none."""
        return () if obj is None else tuple(super().get_readonly_fields(request, obj))

    def get_form(
        self, request: HttpRequest, obj: models.Model | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        """A form of this request's own, which knows its visitor."""
        if obj is None:
            kwargs.setdefault("form", self.add_form)
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.visitor = self._visitor(request)
        return form

    @staticmethod
    def _visitor(request: HttpRequest) -> Visitor:
        visitor = visitor_of(request)
        if visitor is None:
            raise PermissionDenied
        return visitor

    # --- changes ---

    def add_row(self, request: HttpRequest, form: Any, *, now: datetime) -> models.Model:
        """Add what the form says to the current tenant by its domain function; returns the row."""
        row = form.instance
        row.tenant_id = current_tenant()
        row.save(force_insert=True)
        self._record(request, row, "created", form)
        return row

    def change_row(self, request: HttpRequest, row: Any, form: Any) -> models.Model:
        """Change a row of the current tenant as the form says by its domain function; returns the row."""
        row.save(update_fields=form.changed_data)
        self._record(request, row, "changed", form)
        return row

    def delete_row(self, request: HttpRequest, row: Any) -> None:
        """Delete a row of the current tenant by its domain function."""
        row.delete()
        self._record(request, row, "deleted")

    def _record(self, request: HttpRequest, row: models.Model, verb: str, form: Any = None) -> None:
        changes = (
            {name: _change(form, name, verb) for name in form.changed_data if name != "for_tenant"} if form else {}
        )
        action = f"{self.model._meta.model_name}.{verb}"
        record(by=self._visitor(request).actor, action=action, target=row, changes=changes)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Add or change on behalf of the row's tenant."""
        with acting_for(self.owner_of(obj) if change else self._chosen(request, form)):
            saved = (
                self.change_row(request, obj, form)
                if change
                else self.add_row(request, form, now=datetime.now().astimezone())
            )
        # Django goes on with `obj`: its message and redirect are to speak of the row that the domain function made.
        vars(obj).update(vars(saved))

    def owner_of(self, row: Any) -> UUID:
        """The tenant that a row belongs to."""
        return row.tenant_id

    def _chosen(self, request: HttpRequest, form: Any) -> UUID:
        return form.cleaned_data["for_tenant"].id if self._visitor(request).staff else current_tenant()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete on behalf of the row's tenant."""
        with acting_for(self.owner_of(obj)):
            self.delete_row(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        """Delete each row as alone."""
        for row in queryset:
            self.delete_model(request, row)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set[str], list]:
        """The rows themselves: what hangs on them (a file's thousands of chunks) is the domain function's to remove."""
        rows = list(objs)
        forbidden = {str(row) for row in rows if not self.has_delete_permission(request, row)}
        return [str(row) for row in rows], {str(self.opts.verbose_name_plural): len(rows)}, forbidden, []


def _change(form: Any, name: str, verb: str) -> Any:
    """For the audit row: what stands there now, and of a change also what stood there before."""
    after, before = str(form.cleaned_data[name]), form.initial.get(name)
    return after if verb != "changed" else [None if before is None else str(before), after]
