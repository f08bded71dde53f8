"""A config as one line, for forms and commands in which a value cannot have several lines."""

from peerkd.artifacts.keys import differences
from peerkd.config.strict import StrictConfig
from peerkd.config.yaml_text import write_yaml_line


def to_line(config: StrictConfig) -> str:
    """Return the values of a config that differ from the defaults, as YAML in one line of ASCII characters.

    The line can be the parameter ``config_json`` of a pipeline. It is not JSON, which the command ``kfp`` would parse
    before it sends it.
    """
    values = differences(config)
    peers = values.get("peers", {})
    # The name of this field in Python differs from its name in configs.
    if "from_" in peers:
        peers["from"] = peers.pop("from_")
    return write_yaml_line(values)
