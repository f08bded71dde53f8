"""What the components have in common whose work is launched as a job, rather than done in their own pod."""

from typing import Final

from kfp.dsl import TaskConfigField, TaskConfigPassthrough

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
