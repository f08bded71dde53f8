"""The metrics endpoint of a process, which exists only if the environment names a port for it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from peerkd.metrics.names import PORT_VARIABLE
from peerkd.metrics.recorder import recording_to


@contextmanager
def recording(stage: str, *, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Serve the metrics that a stage reports in the ``with`` block. If the environment names no port, ignore them.

    Args:
        stage: The name of the stage.
        environment: The environment variables; those of this process by default.
    """
    environment = os.environ if environment is None else environment
    if not environment.get(PORT_VARIABLE):
        yield
        return
    # Imported here because prometheus_client is needed only if metrics are served.
    from peerkd.metrics import prometheus

    with prometheus.serve(stage, environment) as served, recording_to(served):
        yield
