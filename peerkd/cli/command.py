"""Commands that refuse an option that is given twice, and an option that needs a value but has an empty one."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand

from peerkd.cli.idle_options import check_options
from peerkd.excerpt import plain

Function = TypeVar("Function", bound=Callable[..., Any])


class StrictCommand(TyperCommand):
    """A command that refuses mistakes that Typer accepts, such as two values of one option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of a command line.

        Raises:
            ValueError: If an option does nothing where it is given, or if an option with one value is given twice, is
                empty but needs a value, or is followed by another option instead of its value.
        """
        if ctx.resilient_parsing:
            # A shell asks for completions of a command line that is not complete yet.
            return super().parse_args(ctx, args)
        values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in given:
            name = parameter.opts[0]
            if given.count(parameter) > 1 and not getattr(parameter, "multiple", False):
                raise ValueError(f"{name} must be given once, got it {given.count(parameter)} times.")
            value = values.get(parameter.name)
            if isinstance(value, str) and not value.strip() and parameter.default != "":
                raise ValueError(f"{name} must not be empty.")
            # Typer uses the next argument as the value, whatever it is: "--output --dry-run" would create a folder.
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str) and each.startswith("--"):
                    raise ValueError(f"{name} must be given a value, got the option {plain(each)}.")
        options = {parameter.name: parameter.opts[0] for parameter in given}
        # The path begins with the name of the program.
        command = ctx.command_path.partition(" ")[2]
        check_options(command, options, {name: values.get(name) for name in options})
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            # The message of Typer has the rule, but not the value.
            value = error.param and values.get(error.param.name)
            if value is not None:
                error.message += f", got {plain(value)}"
            raise


class StrictTyper(typer.Typer):
    """A Typer application or group of commands. Its commands are of the class ``StrictCommand``."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """Return a decorator that makes a function a ``StrictCommand``, whose options may come from groups."""
        register = super().command(name, cls=StrictCommand, **options)

        def decorate(function: Function) -> Function:
            register(with_options_of_groups(function))
            return function

        return decorate


def with_options_of_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has the options of each group among the parameters of a function.

    A group is a ``NamedTuple`` whose fields are annotated as options. A function has one parameter for each group, so
    several functions can share options that are defined once.
    """
    annotations = get_type_hints(function, include_extras=True)
    groups = {name: group for name, group in annotations.items() if hasattr(group, "_field_defaults")}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        group = groups.get(name)
        if group is None:
            options = {name: (annotations[name], parameter.default)}
        else:
            options = {
                field: (annotation, group._field_defaults[field])
                for field, annotation in get_type_hints(group, include_extras=True).items()
            }
        for option, (annotation, default) in options.items():
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(option, kind, default=default, annotation=annotation))

    @functools.wraps(function)
    def command(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field: values.pop(field) for field in group._fields})
        function(**values)

    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__dict__["__signature__"] = inspect.Signature(parameters)
    return command
