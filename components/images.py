"""The image of the components."""

from typing import Final

CONTROL_IMAGE: Final = "ghcr.io/peerkd/peerkd-control:0.1.0"
"""What a component's body runs in: kfp, the launcher and the reports, no torch. Made by images/control."""

TRAINER_IMAGE: Final = "ghcr.io/peerkd/peerkd-trainer:0.1.0"
"""What a worker of a launched job runs in, unless the cluster's settings name another. Made by images/trainer."""
