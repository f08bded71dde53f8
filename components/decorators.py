"""The decorators of components, by where the work is done."""

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
    # The launcher meets the store as well, and so needs its address and its keys.
    TaskConfigPassthrough(field=TaskConfigField.ENV, apply_to_task=True),
]
"""What a pipeline's author sets on the task lands on the workers: a GPU for the launcher would be a GPU for nobody."""

component: Final = partial(dsl.component, base_image=CONTROL_IMAGE, install_kfp_package=False)
"""Decorates a component that does its work in its own pod."""

launched_component: Final = partial(component, task_config_passthroughs=PASSTHROUGHS)
"""Decorates a component whose work is launched as a job."""
