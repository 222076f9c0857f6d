"""The engine as a step of the Celery workers that consume the queue `generation`.

Celery keeps what it is good at: the process, its signals, its warm shutdown, the beat. The bells of generations do not
travel as Celery messages: publishing and consuming one cost a quarter of a call's processor time, measured.
"""

from typing import Any

from celery import bootsteps

from .engine import Engine

QUEUE = "generation"


class GenerationEngine(bootsteps.StartStopStep):
    """Starts with the worker, ends before its pool does."""

    requires = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.enabled = QUEUE in worker.app.amqp.queues.consume_from
        self._engine: Engine | None = None

    def start(self, worker: Any) -> None:
        """Claim generations."""
        self._engine = Engine()
        self._engine.start()

    def stop(self, worker: Any) -> None:
        """Let them end."""
        if self._engine is not None:
            self._engine.stop()
            self._engine = None
