"""The image of the components."""

from typing import Final

CONTROL_IMAGE: Final = "ghcr.io/peerkd/peerkd-control:0.1.0"
"""The image in which the tasks of pipelines run. It contains kfp, the launcher and the reports, but not torch.

images/control describes how it is built."""

TRAINER_IMAGE: Final = "ghcr.io/peerkd/peerkd-trainer:0.1.0"
"""The image in which the workers of a launched job run, unless the cluster's settings name another image.

images/trainer describes how it is built."""
