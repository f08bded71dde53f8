"""The placement of a job's workers close to each other, by Kueue's topology-aware scheduling."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from peerkd.config.strict import StrictConfig

_LABEL: Final = re.compile(
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)


def _label_name(value: str) -> str:
    """Return the name of a label unchanged, and refuse it if no label can have it.

    Kueue would refuse the name only when the job is created, after earlier stages have run. A refused name raises an
    error of pydantic.
    """
    if len(value) > 316 or not _LABEL.fullmatch(value):
        raise PydanticCustomError(
            "label_name", "Value should be the name of a node's label, such as topology.kubernetes.io/zone"
        )
    return value


class TopologyConfig(StrictConfig):
    """How close to each other the workers of a job run."""

    level: Annotated[str, AfterValidator(_label_name)]
    """The label of the nodes that names the rack, block or zone of each node. It must be a level of the Topology of the
    queue's pools."""

    required: bool = False
    """Whether all workers must be in one rack, block or zone. If so, the job waits until one has room for all of them.
    If not, Kueue prefers one, then tries the next higher level, and then divides the workers."""
