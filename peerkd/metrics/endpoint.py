"""The decision whether a process serves its metrics to Prometheus: it does where its environment names a port."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from peerkd.metrics.names import PORT_VARIABLE
from peerkd.metrics.recorder import recording_to


@contextmanager
def recording(stage: str, *, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Serve what ``peerkd.metrics.recorder`` is told, if the environment has a port for it; otherwise drop it."""
    environment = os.environ if environment is None else environment
    if not environment.get(PORT_VARIABLE):
        yield
        return
    # Loaded only where metrics are served.
    from peerkd.metrics import prometheus

    with prometheus.serve(stage, environment) as served, recording_to(served):
        yield
