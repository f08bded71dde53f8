from pydantic import create_model

from peerkd.config.field_descriptions import field_docstrings
from peerkd.config.strict import StrictConfig


class Base:
    first: int = 1
    """The first of
    two lines."""

    without: int = 2


class Derived(Base):
    first: int = 3
    """Another first."""

    def method(self) -> None:
        local: int = 5
        """Not a field."""
        del local


class Section(StrictConfig):
    is_: bool = True
    """A field with an alias."""


def test_the_docstring_of_each_field_is_found_and_the_nearest_class_wins() -> None:
    assert field_docstrings(Base) == {"first": "The first of\ntwo lines."}
    assert field_docstrings(Derived) == {"first": "Another first."}


def test_a_schema_has_the_docstrings_of_fields_and_of_inherited_fields() -> None:
    made = create_model("Made", __base__=Section, second=(int, 1))
    for section in (Section, made):
        assert section.model_json_schema()["properties"]["is_"]["description"] == "A field with an alias."
    assert "description" not in made.model_json_schema()["properties"]["second"]
