"""What a worker process does for annotators, besides running their jobs."""

from __future__ import annotations

from dramatiq import Broker, Middleware, Worker

from annotation.backends import close_annotators


class CloseAnnotators(Middleware):
    """Closes what was loaded, once the last batch under way has been settled."""

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        close_annotators()
