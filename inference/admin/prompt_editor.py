"""The editor of a prompt: what a version says, the next version, labels, and what changed between two."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from tenants.audit_trail import trail_of
from tenants.desk.pages import DeskPage, desk_page
from tenants.errors import AtriumError, InvalidRequest
from tenants.ids import public_id

from ..catalogue import granted_models
from ..models import Model
from ..prompts import library
from ..prompts.reading import compare, whole_prompt
from .prompt_form import NEW, ROLES, TYPES, VariableRow, definition_of, draft_of, typed


@desk_page
class PromptEditor(DeskPage):
    """One prompt. A change is a new version; a label says which one calls get."""

    name, path = "prompt_editor", "prompts/<uuid:prompt_id>/"
    area = "prompts"
    template_name = "desk/prompt_editor.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The page; an id that is nobody's, or another tenant's, is 404."""
        if self.visitor.staff:
            raise Http404
        return self.render_to_response(self.get_context_data(**kwargs))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The prompt, and the version that is looked at."""
        number, other = (_number(self.request.GET.get(name)) for name in ("version", "compare"))
        try:
            found = whole_prompt(prompt_id=kwargs["prompt_id"], number=number, other=other)
        except library.PromptNotFound as error:
            raise Http404 from error
        draft = kwargs.pop("draft", None) or (draft_of(found.shown.definition) if found.shown else NEW)
        lines = compare(found.other.definition, found.shown.definition) if found.other and found.shown else []
        return super().get_context_data(
            found=found,
            draft=draft,
            lines=lines,
            versions=[(row, found.labels_at(row.number)) for row in found.versions],
            models=[grant.alias for grant in granted_models(Model.Kind.CHAT)],
            roles=ROLES,
            types=TYPES,
            blank=VariableRow(""),
            public_id=public_id(library.PREFIX, found.prompt.id),
            may_change=self.visitor.may("prompts.change"),
            may_try=self.visitor.may("playground.change"),
            events=[(event, _said(event.action)) for event in trail_of(found.prompt)[:20]],
            **{"title": found.prompt.name, **kwargs},
        )

    def post(self, request: HttpRequest, prompt_id: UUID) -> HttpResponse:
        """One of `_ACTS`; a refusal keeps what was typed."""
        act = _ACTS.get(request.POST.get("act", ""))
        if self.visitor.staff or act is None:
            raise PermissionDenied
        try:
            with transaction.atomic():
                return act(self, prompt_id, datetime.now(UTC))
        except library.PromptNotFound as error:
            if error.param is None:
                raise Http404 from error
            return self._again(error, prompt_id)
        except AtriumError as error:
            return self._again(error, prompt_id)

    def _again(self, error: AtriumError, prompt_id: UUID) -> HttpResponse:
        messages.error(self.request, error.message)
        drafted = {"draft": typed(self.request.POST)} if self.request.POST.get("act") == "save" else {}
        return self.render_to_response(self.get_context_data(prompt_id=prompt_id, **drafted))

    def _save(self, prompt_id: UUID, now: datetime) -> HttpResponse:
        post, draft = self.request.POST, typed(self.request.POST)
        label = post.get("label", "").strip()
        made = library.add_version(
            prompt_id=prompt_id,
            definition=definition_of(draft),
            note=draft.note,
            labels=[label] if label else [],
            by=self.visitor.actor,
            now=now,
        )
        if post.get("newest") != str(made.number - 1):
            messages.warning(
                self.request,
                f"Somebody else saved version {made.number - 1} while you were writing. Yours is version {made.number}; "
                "compare the two before you move a label.",
            )
        pointed = f" The label {label} points at it now." if label else " No label points at it yet."
        messages.success(self.request, f"Version {made.number} is saved.{pointed}")
        return self._back(prompt_id)

    def _move(self, prompt_id: UUID, now: datetime) -> HttpResponse:
        label, number = self.request.POST.get("label", "").strip(), _number(self.request.POST.get("number"))
        if not label or not number:
            raise InvalidRequest("Name a label and choose a version.")
        library.set_label(prompt_id=prompt_id, label=label, number=number, by=self.visitor.actor, now=now)
        messages.success(self.request, f"{label} points at version {number}. Calls follow within seconds.")
        return self._back(prompt_id)

    def _remove_label(self, prompt_id: UUID, now: datetime) -> HttpResponse:
        label = self.request.POST.get("label", "")
        library.remove_label(prompt_id=prompt_id, label=label, by=self.visitor.actor, now=now)
        messages.success(self.request, f"The label {label} is gone. Calls that name it are refused.")
        return self._back(prompt_id)

    def _rename(self, prompt_id: UUID, now: datetime) -> HttpResponse:
        post = self.request.POST
        changes = {
            "name": post.get("name", "").strip()[:200],
            "description": post.get("description", "").strip()[:2000],
        }
        if not changes["name"]:
            raise InvalidRequest("A prompt needs a name.")
        library.update_prompt(prompt_id=prompt_id, changes=changes, by=self.visitor.actor, now=now)
        messages.success(self.request, "Saved.")
        return self._back(prompt_id)

    def _delete(self, prompt_id: UUID, now: datetime) -> HttpResponse:
        prompt = library.delete_prompt(prompt_id=prompt_id, by=self.visitor.actor, now=now)
        messages.success(self.request, f"The prompt {prompt.name} is deleted.")
        return HttpResponseRedirect(reverse("admin:inference_prompt_changelist"))

    @staticmethod
    def _back(prompt_id: UUID) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:prompt_editor", args=[prompt_id]))


_ACTS: dict[str, Callable[[PromptEditor, UUID, datetime], HttpResponse]] = {
    "save": PromptEditor._save,
    "move": PromptEditor._move,
    "remove_label": PromptEditor._remove_label,
    "rename": PromptEditor._rename,
    "delete": PromptEditor._delete,
}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def _said(action: str) -> str:
    """`prompt.version_added` as `Version added`."""
    return action.partition(".")[2].replace("_", " ").capitalize()
