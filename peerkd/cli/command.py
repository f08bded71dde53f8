"""A command that accepts each option once, and no empty value where a value is required."""

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

from peerkd.excerpt import plain

Function = TypeVar("Function", bound=Callable[..., Any])


class StrictCommand(TyperCommand):
    """A command that refuses mistakes which Typer accepts, such as two values of one option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of a command line.

        Raises:
            ValueError: If an option that takes one value is given twice, is empty and has another default, or has an
                option for its value.
        """
        values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in given:
            name = parameter.opts[0]
            if given.count(parameter) > 1 and not getattr(parameter, "multiple", False):
                raise ValueError(f"{name} must be given once, got it {given.count(parameter)} times.")
            value = values.get(parameter.name)
            if isinstance(value, str) and not value.strip() and parameter.default != "":
                raise ValueError(f"{name} must not be empty.")
            # What follows an option is its value, whatever it looks like: "--output --dry-run" would make a folder.
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str) and each.startswith("--"):
                    raise ValueError(f"{name} must be given a value, got the option {plain(each)}.")
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            # Typer names the rule, and not the value.
            value = error.param and values.get(error.param.name)
            if value is not None:
                error.message += f", got {plain(value)}"
            raise


class StrictTyper(typer.Typer):
    """An application, or a group of its commands, whose commands are strict."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """Return a decorator that makes a function a strict command."""
        return super().command(name, cls=StrictCommand, **options)
