"""The tenant's prompts: made, versioned, labelled, deleted. Each change writes its audit row in the same transaction.

A version never changes. A label is how a version goes live and how it is taken back: moving it is one row, and calls
follow within `references.REMEMBER_SECONDS` in every process. A prompt with labels is in use and cannot be deleted.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from inference.models import Prompt, PromptLabel, PromptLabelMove, PromptVersion
from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.scope import tenant_scope

from .definition import Definition

PREFIX, VERSION_PREFIX, MOVE_PREFIX = "pmpt_", "pmptv_", "pmptm_"
MAX_LABELS = 50
#: Not a number, which would be a version's.
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class PromptNotFound(NotFound):
    """No such prompt, or it has no such version or label."""

    code = "prompt_not_found"


class PromptNameTaken(AtriumError):
    """Another prompt has this name."""

    status = 409
    type = "invalid_request_error"
    code = "prompt_name_taken"


class PromptInUse(AtriumError):
    """Labels point at the prompt's versions, so calls may use it."""

    status = 409
    type = "invalid_request_error"
    code = "prompt_in_use"


def create_prompt(
    *,
    name: str,
    by: Actor,
    now: datetime,
    description: str = "",
    definition: Definition | None = None,
    note: str = "",
    labels: Sequence[str] = (),
) -> Prompt:
    """A new prompt; with a `definition`, its first version and the labels that point at it.

    Raises:
        PromptNameTaken: the tenant has a prompt of this name.
        InvalidRequest: a label that is none.
    """
    with tenant_scope() as tenant_id:
        prompt = Prompt(tenant_id=tenant_id, name=name, description=description, created_at=now, updated_at=now)
        _save(prompt)
        record(by=by, action="prompt.created", target=prompt, changes={"name": name})
        if definition is not None:
            _add_version(prompt, definition, note=note, labels=labels, by=by, now=now)
    return prompt


def update_prompt(*, prompt_id: UUID, changes: dict[str, str], by: Actor, now: datetime) -> Prompt:
    """Change `name` and `description`, those that `changes` holds.

    Raises:
        PromptNotFound, PromptNameTaken: as they say.
    """
    with tenant_scope():
        prompt = _locked(prompt_id)
        before = {name: getattr(prompt, name) for name in changes}
        for name, value in changes.items():
            setattr(prompt, name, value)
        prompt.updated_at = now
        _save(prompt, update_fields=[*changes, "updated_at"])
        changed = {name: [before[name], value] for name, value in changes.items() if before[name] != value}
        if changed:
            record(by=by, action="prompt.changed", target=prompt, changes=changed)
    return prompt


def delete_prompt(*, prompt_id: UUID, by: Actor, now: datetime) -> Prompt:
    """Delete a prompt; what its versions said is kept for the calls that used them, and answers to nobody.

    Raises:
        PromptNotFound: there is none.
        PromptInUse: labels point at it; take them away first.
    """
    with tenant_scope():
        prompt = _locked(prompt_id)
        labels = sorted(PromptLabel.objects.filter(prompt=prompt).values_list("name", flat=True))
        if labels:
            raise PromptInUse(
                f"The prompt '{prompt.name}' is in use by the labels {', '.join(labels)}. Remove them, then delete it.",
                data={"labels": labels},
            )
        prompt.deleted_at = now
        prompt.save(update_fields=["deleted_at"])
        record(by=by, action="prompt.deleted", target=prompt, changes={"name": prompt.name})
    return prompt


def get_prompt(*, prompt_id: UUID) -> Prompt:
    """A prompt of the current tenant.

    Raises:
        PromptNotFound: there is none.
    """
    with tenant_scope():
        prompt = Prompt.objects.filter(id=prompt_id, deleted_at__isnull=True).first()
    if prompt is None:
        raise PromptNotFound("No such prompt.")
    return prompt


def add_version(
    *,
    prompt_id: UUID,
    definition: Definition,
    by: Actor,
    now: datetime,
    note: str = "",
    labels: Sequence[str] = (),
) -> PromptVersion:
    """The next version of a prompt; `labels` are moved to it in the same transaction.

    Raises:
        PromptNotFound: no such prompt.
        InvalidRequest: a label that is none.
    """
    with tenant_scope():
        return _add_version(_locked(prompt_id), definition, note=note, labels=labels, by=by, now=now)


def get_version(*, prompt_id: UUID, version: str, param: str | None = None) -> PromptVersion:
    """The version that a number or a label names.

    Raises:
        PromptNotFound: no such prompt, or it has no such version or label.
    """
    with tenant_scope():
        prompt = get_prompt(prompt_id=prompt_id)
        found = _version(prompt, version)
        if found is None:
            raise PromptNotFound(_says_what_there_is(prompt, version), param=param)
    return found


def get_label(*, prompt_id: UUID, label: str) -> PromptLabel:
    """Where a label points.

    Raises:
        PromptNotFound: no such prompt or label.
    """
    with tenant_scope():
        return _label(get_prompt(prompt_id=prompt_id), label)


def set_label(*, prompt_id: UUID, label: str, number: int, by: Actor, now: datetime) -> PromptLabel:
    """Point a label at a version: roll-out, and roll-back.

    Raises:
        PromptNotFound: no such prompt or version.
        InvalidRequest: a name that is none, or one label too many.
    """
    with tenant_scope():
        prompt = _locked(prompt_id)
        version = PromptVersion.objects.filter(prompt=prompt, number=number).first()
        if version is None:
            raise PromptNotFound(f"The prompt '{prompt.name}' has no version {number}.", param="version")
        return _move(prompt, label, version, by=by, now=now)


def remove_label(*, prompt_id: UUID, label: str, by: Actor, now: datetime) -> None:
    """Take a label away; calls that name it are refused from then on.

    Raises:
        PromptNotFound: no such prompt or label.
    """
    with tenant_scope():
        prompt = _locked(prompt_id)
        row = _label(prompt, label)
        _note_move(prompt, label, row.version.number, None, by=by, now=now)
        row.delete()


def labels_of(prompts: Sequence[Prompt]) -> dict[UUID, dict[str, int]]:
    """Prompt id → label → number; call it inside the scope."""
    found: dict[UUID, dict[str, int]] = {prompt.id: {} for prompt in prompts}
    rows = PromptLabel.objects.filter(prompt__in=list(found)).order_by("name")
    for prompt_id, name, number in rows.values_list("prompt_id", "name", "version__number"):
        found[prompt_id][name] = number
    return found


def _label(prompt: Prompt, label: str) -> PromptLabel:
    row = PromptLabel.objects.select_related("version").filter(prompt=prompt, name=label).first()
    if row is None:
        raise PromptNotFound("No such label.")
    return row


def _locked(prompt_id: UUID) -> Prompt:
    prompt = Prompt.objects.select_for_update().filter(id=prompt_id, deleted_at__isnull=True).first()
    if prompt is None:
        raise PromptNotFound("No such prompt.")
    return prompt


def _save(prompt: Prompt, **options: Any) -> None:
    try:
        with transaction.atomic():
            prompt.save(**options)
    except IntegrityError as error:
        if "inference_prompt_name" not in str(error):
            raise
        raise PromptNameTaken(f"There is a prompt '{prompt.name}' already.", param="name") from error


def _add_version(
    prompt: Prompt, definition: Definition, *, note: str, labels: Sequence[str], by: Actor, now: datetime
) -> PromptVersion:
    prompt.newest += 1
    prompt.updated_at = now
    prompt.save(update_fields=["newest", "updated_at"])
    version = PromptVersion.objects.create(
        tenant_id=prompt.tenant_id,
        prompt=prompt,
        number=prompt.newest,
        definition=definition.stored(),
        note=note,
        created_by_type=by.type,
        created_by_id=by.id,
        created_at=now,
    )
    record(by=by, action="prompt.version_added", target=prompt, changes={"version": version.number})
    for label in dict.fromkeys(labels):
        _move(prompt, label, version, by=by, now=now)
    return version


def _move(prompt: Prompt, label: str, version: PromptVersion, *, by: Actor, now: datetime) -> PromptLabel:
    """Under the prompt's lock."""
    if not _LABEL.fullmatch(label):
        raise InvalidRequest(
            "A label starts with a letter and has at most 64 letters, digits, '_', '.' or '-'.", param="labels"
        )
    row = PromptLabel.objects.select_related("version").filter(prompt=prompt, name=label).first()
    if row is None:
        if PromptLabel.objects.filter(prompt=prompt).count() >= MAX_LABELS:
            raise InvalidRequest(f"A prompt has at most {MAX_LABELS} labels.", param="labels")
        row, before = PromptLabel(tenant_id=prompt.tenant_id, prompt=prompt, name=label), None
    else:
        before = row.version.number
    if before != version.number:
        row.version, row.moved_at = version, now
        row.save()
        _note_move(prompt, label, before, version.number, by=by, now=now)
    return row


def _note_move(prompt: Prompt, label: str, before: int | None, after: int | None, *, by: Actor, now: datetime) -> None:
    PromptLabelMove.objects.create(
        tenant_id=prompt.tenant_id,
        prompt=prompt,
        label=label,
        from_number=before,
        to_number=after,
        by_type=by.type,
        by_id=by.id,
        moved_at=now,
    )
    action = "prompt.label_removed" if after is None else "prompt.label_moved"
    record(by=by, action=action, target=prompt, changes={"label": label, "version": [before, after]})


def _version(prompt: Prompt, version: str) -> PromptVersion | None:
    if _NUMBER.fullmatch(version):
        return PromptVersion.objects.filter(prompt=prompt, number=int(version)).first()
    row = PromptLabel.objects.select_related("version").filter(prompt=prompt, name=version).first()
    return row.version if row else None


def _says_what_there_is(prompt: Prompt, version: str) -> str:
    labels = labels_of([prompt])[prompt.id]
    named = ", ".join(f"{name} ({number})" for name, number in labels.items()) or "none"
    return (
        f"The prompt '{prompt.name}' has no version or label '{version[:64]}'. Its newest version is {prompt.newest}; "
        f"its labels: {named}."
    )
