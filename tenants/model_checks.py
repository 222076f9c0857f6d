"""The model check: every tenant-owned model carries its policies and composite keys. Runs with `manage.py check`."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import Error
from django.db import models

from .managers import TenantModel
from .row_security import TenantForeignKey, TenantOwned

OWN_APPS = ("tenants", "billing", "knowledge", "inference")


def check_models(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[Error]:
    """Errors for models whose tables the database could not keep apart by tenant."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        if model._meta.app_label in OWN_APPS:
            found += _check_owned(model) if _is_tenant_owned(model) else _check_shared(model)
    return found


def _is_tenant_owned(model: type[models.Model]) -> bool:
    return any(field.name == "tenant" for field in model._meta.get_fields() if field.concrete)


def _check_shared(model: type[models.Model]) -> list[Error]:
    """A table without a tenant must not point into tenant-owned ones, save the tenant itself."""
    return [
        Error(f"{model.__name__}.{field.name} points from a shared table into a tenant's", obj=model, id="tenants.E004")
        for field in _foreign_keys(model)
        if _is_tenant_owned(field.related_model)
    ]


def _check_owned(model: type[models.Model]) -> list[Error]:
    found = []
    constraints = model._meta.constraints
    if not any(isinstance(constraint, TenantOwned) for constraint in constraints):
        found.append(Error(f"{model.__name__} lacks TenantOwned in Meta.constraints", obj=model, id="tenants.E001"))
    if not issubclass(model, TenantModel):
        found.append(Error(f"{model.__name__} is not a TenantModel", obj=model, id="tenants.E002"))
    covered = {constraint.field for constraint in constraints if isinstance(constraint, TenantForeignKey)}
    for field in _foreign_keys(model):
        if _is_tenant_owned(field.related_model) and (field.db_constraint or field.name not in covered):
            found.append(
                Error(
                    f"{model.__name__}.{field.name} needs db_constraint=False and a TenantForeignKey",
                    obj=model,
                    id="tenants.E003",
                )
            )
    for constraint in constraints:
        if isinstance(constraint, models.UniqueConstraint) and "tenant" not in constraint.fields:
            found.append(Error(f"{constraint.name} lacks the tenant", obj=model, id="tenants.E005"))
    found += [
        Error(f"{model.__name__}.{field.name} is unique over all tenants", obj=model, id="tenants.E005")
        for field in model._meta.fields
        if field.unique and not field.primary_key
    ]
    found += [
        Error(f"{model.__name__}.{field.name}: write the through model yourself", obj=model, id="tenants.E006")
        for field in model._meta.many_to_many
    ]
    return found


def _foreign_keys(model: type[models.Model]) -> list[Any]:
    return [field for field in model._meta.fields if isinstance(field, models.ForeignKey)]
