"""The local services: a real Postgres and a real Valkey, under a supervisor of ours.

Standard library only: `./run` uses it before anything is installed.
"""

from twinby.embedded.narration import Problem
from twinby.embedded.postgres import ensure_postgres, running_postgres, stop_postgres
from twinby.embedded.state import State
from twinby.embedded.valkey import ensure_valkey, running_valkey, stop_valkey

__all__ = [
    "Problem",
    "State",
    "ensure_postgres",
    "ensure_valkey",
    "running_postgres",
    "running_valkey",
    "stop_postgres",
    "stop_valkey",
]
