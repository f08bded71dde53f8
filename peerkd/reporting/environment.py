"""The environment in which the templates of all pages are rendered."""

import jinja2


def new_environment() -> jinja2.Environment:
    """Return an environment in which values are escaped, and a template that uses an unknown variable is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("peerkd.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
