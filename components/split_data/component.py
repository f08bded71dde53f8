"""Component: read the data set, and hold out its validation and test sets."""

from kfp import dsl

from components.images import CONTROL_IMAGE


@dsl.component(base_image=CONTROL_IMAGE, install_kfp_package=False)
def split_data(preset: str, config_json: str, overrides: str, store: str, split: dsl.Output[dsl.Dataset]) -> str:
    """Read the data set, and hold out its validation and test sets.

    Args:
        preset: Name of a preset; the default where config_json is given.
        config_json: A whole study as JSON, or empty.
        overrides: key=value pairs separated by white space, as in "seed=3 methods=[plain,pcl]".
        store: Address of the artifact store.
        split: Reference to the split in the store.

    Returns:
        The whole study as JSON, every default written out.
    """
    from peerkd.stages import split_data as stage

    return stage.run(preset=preset, config_json=config_json, overrides=overrides, store=store, split_path=split.path)
