"""Component: train every architecture by every method from every seed, PCL and its rivals alike."""

from kfp import dsl

from components.images import PYTHON_IMAGE


@dsl.component(base_image=PYTHON_IMAGE, install_kfp_package=False)
def train_pcl(config_json: str, store: str, split: dsl.Input[dsl.Dataset], runs: dsl.Output[dsl.Model]):
    """Train every architecture by every method from every seed, PCL and its rivals alike.

    Args:
        config_json: The whole study as JSON.
        store: Address of the artifact store.
        split: Reference to the split in the store.
        runs: Reference to what every run measured, and to its networks.
    """
    from peerkd.stages import train_pcl as stage

    stage.run(config_json=config_json, store=store, split_path=split.path, runs_path=runs.path)
