"""The Celery application: queues, routes and the beat schedule. Messages are doorbells; rows hold the work."""

import os
from typing import Any

from celery import Celery, signals
from celery.schedules import crontab
from django.conf import settings
from kombu import Queue

from config.broker import install

from . import worker_heartbeat  # noqa: F401  for effect: workers beat
from .garbage import settle_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

install()
app = Celery("atrium")
app.conf.update(settings.CELERY)
app.conf.task_queues = (
    # No message comes this way: a worker that consumes it runs the engine, which hears bells of its own.
    Queue("generation"),
    Queue("ingestion"),
    Queue("sources"),
    Queue("maintenance"),
    # Waits on tenants' servers.
    Queue("webhooks"),
    # Needs the staff role's credentials for reports over all tenants.
    Queue("reports"),
    # Needs the owner's credentials, which no web process and no other worker has to be given.
    Queue("partitions"),
)
app.conf.task_routes = {
    "knowledge.tasks.ingest": {"queue": "ingestion"},
    "knowledge.tasks.reembed": {"queue": "ingestion"},
    "knowledge.tasks.fetch": {"queue": "sources"},
    "knowledge.tasks.sync": {"queue": "sources"},
    "inference.batches.tasks.drive": {"queue": "sources"},
    "billing.tasks.make_report": {"queue": "reports"},
    "knowledge.tasks.tend_partitions": {"queue": "partitions"},
    "tenants.webhooks.tasks.deliver": {"queue": "webhooks"},
}
app.conf.beat_schedule = {
    "sweep generations": {"task": "inference.tasks.sweep_generations", "schedule": 2.0},
    "sweep batches": {"task": "inference.batches.tasks.sweep_batches", "schedule": 1.0},
    "sweep batch lines": {"task": "inference.batches.tasks.sweep_batch_lines", "schedule": 2.0},
    "sweep ingestion": {"task": "knowledge.tasks.sweep_ingestion", "schedule": 2.0},
    "sweep reembedding": {"task": "knowledge.tasks.sweep_reembedding", "schedule": 5.0},
    "sweep expiry": {"task": "knowledge.tasks.sweep_expiry", "schedule": 60.0},
    "charge storage": {"task": "knowledge.tasks.charge_storage", "schedule": 900.0, "options": {"expires": 600}},
    "sweep purging": {"task": "knowledge.tasks.sweep_purging", "schedule": 5.0},
    "sweep syncing": {"task": "knowledge.tasks.sweep_syncing", "schedule": 5.0},
    "sweep fetching": {"task": "knowledge.tasks.sweep_fetching", "schedule": 2.0},
    "sweep webhooks": {"task": "tenants.webhooks.tasks.sweep_webhooks", "schedule": 2.0},
    "sweep reservations": {"task": "billing.tasks.sweep_reservations", "schedule": 30.0},
    "roll up usage": {"task": "billing.tasks.roll_up_usage", "schedule": 10.0, "options": {"expires": 10}},
    "roll up calls": {"task": "inference.tasks.roll_up_calls", "schedule": 10.0, "options": {"expires": 10}},
    "post bill corrections": {
        "task": "billing.reconciliation.tasks.post_bill_corrections",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "send meter events": {
        "task": "billing.tasks.send_meter_events",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "check recent ledger": {"task": "billing.tasks.check_ledger", "schedule": 3600.0, "kwargs": {"days": 2}},
    "check ledger": {"task": "billing.tasks.check_ledger", "schedule": crontab(hour="3", minute="17")},
    "sweep variance alerts": {"task": "billing.tasks.sweep_variance_alerts", "schedule": 10.0},
    "sweep budget alerts": {"task": "billing.tasks.sweep_budget_alerts", "schedule": 10.0},
    "forecast budgets": {"task": "billing.tasks.forecast_budgets", "schedule": 3600.0},
    "sweep mail": {"task": "tenants.tasks.sweep_mail", "schedule": 10.0},
    "end overdue staff views": {"task": "tenants.tasks.end_overdue_views", "schedule": 60.0},
    "sweep reports": {"task": "billing.tasks.sweep_reports", "schedule": 5.0},
    "expire reports": {"task": "billing.tasks.expire_reports", "schedule": 600.0},
    "close due statements": {
        "task": "billing.tasks.close_due_statements",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "sweep response cache": {"task": "inference.tasks.sweep_response_cache", "schedule": 60.0},
    "check deployments": {"task": "inference.tasks.check_deployments", "schedule": 30.0, "options": {"expires": 30}},
    "tend partitions": {
        "task": "knowledge.tasks.tend_partitions",
        "schedule": 300.0,
        "options": {"expires": 240},
    },
    "erase expired contents": {"task": "inference.tasks.erase_expired_contents", "schedule": 3600.0},
}
# By name: it is imported when the worker starts, with the models.
app.steps["worker"].add("inference.engine.celery_step:GenerationEngine")
app.autodiscover_tasks(
    [
        "tenants", "tenants.webhooks", "billing", "billing.reconciliation", "knowledge", "inference",
        "inference.batches",
    ]
)  # fmt: skip


@signals.worker_ready.connect
def _settle_down(**kwargs: Any) -> None:
    settle_down()
