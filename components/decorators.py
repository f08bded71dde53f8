"""The decorators of components: one for work in the task's own pod, one for work in launched jobs."""

from functools import partial
from typing import Final

from kfp import dsl
from kfp.dsl import TaskConfigField, TaskConfigPassthrough

from components.images import CONTROL_IMAGE

PASSTHROUGHS: Final = [
    TaskConfigField.RESOURCES,
    TaskConfigField.KUBERNETES_TOLERATIONS,
    TaskConfigField.KUBERNETES_NODE_SELECTOR,
    TaskConfigField.KUBERNETES_AFFINITY,
    TaskConfigField.KUBERNETES_VOLUMES,
    # The launcher uses the store too, so it needs the environment with the store's address and keys.
    TaskConfigPassthrough(field=TaskConfigField.ENV, apply_to_task=True),
]
"""The settings of a task that apply to the workers of its job, and not to the pod of the launcher.

Otherwise the launcher, which only waits, would occupy the GPUs that the task requests for its workers. The environment
is an exception: it applies to both.
"""

component: Final = partial(dsl.component, base_image=CONTROL_IMAGE, install_kfp_package=False)
"""The decorator of a component that does its work in its own pod."""

launched_component: Final = partial(component, task_config_passthroughs=PASSTHROUGHS)
"""The decorator of a component whose work is launched as a job."""
