"""Taking a model or a deployment out of service at once, and putting it back. For platform staff.

Every process learns of it within `catalogue.REMEMBER_SECONDS`: calls that come in are refused (or answered by the
model's fallbacks), calls that wait ask it no more, retrieval and moderation neither. What a deployment is answering at
that moment is answered to its end. Grants, prices and aliases stay as they are.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from tenants.audit import Actor
from tenants.errors import InvalidRequest, NotFound
from tenants.platform_log import record_platform
from tenants.scope import as_staff

from .models import Deployment, Model


def take_out(*, model_id: UUID, reason: str, by: Actor, now: datetime) -> Model:
    """Have no deployment of a model answer any more, the tenants' own included. Again: only the reason changes.

    Raises:
        NotFound: there is no such model.
        InvalidRequest: no reason.
    """
    if not reason.strip():
        raise InvalidRequest("Say why: the reason is kept in the log.", param="reason")
    with as_staff(), transaction.atomic(using="staff"):
        model = _locked(model_id)
        model.out_of_service_since = model.out_of_service_since or now
        model.out_of_service_reason = reason.strip()[:300]
        model.save(update_fields=["out_of_service_since", "out_of_service_reason"])
        record_platform(by=by, target=model, message=f"Taken out of service: {model.out_of_service_reason}")
    return model


def put_back(*, model_id: UUID, by: Actor, reason: str = "") -> Model:
    """Have a model's enabled deployments answer again. Again: nothing changes.

    Raises:
        NotFound: there is no such model.
    """
    with as_staff(), transaction.atomic(using="staff"):
        model = _locked(model_id)
        if model.out_of_service_since is not None:
            model.out_of_service_since, model.out_of_service_reason = None, ""
            model.save(update_fields=["out_of_service_since", "out_of_service_reason"])
            told = f"Put back into service: {reason}" if reason else "Put back into service."
            record_platform(by=by, target=model, message=told)
    return model


def set_enabled(*, deployment_id: UUID, enabled: bool, by: Actor, reason: str = "") -> Deployment:
    """Ask a deployment no more, or again. Again: nothing changes.

    Args:
        reason: kept in the log.

    Raises:
        NotFound: there is no such deployment.
    """
    with as_staff(), transaction.atomic(using="staff"):
        row = Deployment.objects.select_for_update().filter(id=deployment_id).first()
        if row is None:
            raise NotFound("No such deployment.")
        if row.enabled != enabled:
            row.enabled = enabled
            row.save(update_fields=["enabled"])
            done = "Put back into service" if enabled else "Taken out of service"
            record_platform(by=by, target=row, message=f"{done}: {reason}" if reason else f"{done}.")
    return row


def _locked(model_id: UUID) -> Model:
    model = Model.objects.select_for_update().filter(id=model_id).first()
    if model is None:
        raise NotFound("No such model.")
    return model
