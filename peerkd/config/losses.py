"""The config of the pair loss: one kind for each registered loss, whose fields are the loss's hyper-parameters."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias, Union

from pydantic import Field, PlainSerializer, SerializeAsAny, WrapValidator, create_model, model_validator
from pydantic_core import PydanticKnownError

from peerkd.config.own_paths import refusal
from peerkd.config.strict import StrictConfig
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.loss import PairLoss, Parameter
from peerkd.losses.pairs.term import DistillationTerm, Reduction
from peerkd.own_code import is_path


class LossConfig(StrictConfig):
    """A pair loss with its hyper-parameters. Each kind is a subclass with its own fields."""

    pair_loss: ClassVar[PairLoss]

    kind: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pair_loss.check:
            self.pair_loss.check(**self.parameters)
        return self

    def term(self, *, reduction: Reduction, scale_by_temperature_squared: bool) -> DistillationTerm:
        """Return the divergence term D of the loss of a pair, computed by this loss with its hyper-parameters.

        Args:
            reduction: How D is averaged over a batch.
            scale_by_temperature_squared: Whether D is multiplied by T^2.
        """
        return DistillationTerm(self.pair_loss, self.parameters, reduction, scale_by_temperature_squared)

    @property
    def parameters(self) -> dict[str, float]:
        """The value of each hyper-parameter."""
        return self.model_dump(exclude={"kind"})

    def __reduce__(self) -> tuple[Any, ...]:
        # The class of a kind is created below, so another process cannot import it by name.
        return _read, (self.model_dump(),)


def loss_section(loss: PairLoss) -> type[LossConfig]:
    """Return the config class of a loss, which has a field for each of the loss's hyper-parameters."""
    kind: Any = Literal[loss.name]
    fields: dict[str, Any] = {each.name: (float, _field(each)) for each in loss.parameters}
    labels = " This loss needs labels, so it excludes transfer sets without them." if loss.excludes_unlabelled else ""
    own = " This loss sets T itself, so a sweep does not vary T." if loss.sets_temperature else ""
    section = create_model(
        "OwnLossConfig" if is_path(loss.name) else f"{loss.name.title().replace('_', '')}LossConfig",
        __base__=LossConfig,
        __doc__=f"{loss.capitalized_title}: D = {loss.formula}. {loss.meaning}{labels}{own} Source: {loss.source}.",
        **{"kind": (kind, loss.name), **fields},
    )
    section.pair_loss = loss
    return section


def _field(parameter: Parameter) -> Any:
    return Field(
        default=parameter.default,
        ge=parameter.at_least,
        gt=parameter.above,
        le=parameter.at_most,
        lt=parameter.below,
        description=parameter.meaning,
    )


_KINDS: Final[Mapping[str, type[LossConfig]]] = {name: loss_section(loss) for name, loss in PAIR_LOSSES.items()}


def _read_section(value: Any, handler: Callable[[Any], Any]) -> Any:
    """Validate a section ``loss``. If its kind is the path of a user's own loss, the class is made for this loss."""
    if isinstance(value, LossConfig):
        return value
    if not isinstance(value, dict):
        # The error that a section without a validator of its own has.
        raise PydanticKnownError("dict_type")
    kind = value.get("kind")
    if not isinstance(kind, str) or not is_path(kind):
        return handler(value)
    section = _section(kind)
    return section.model_validate_json(json.dumps({**value, "kind": section.pair_loss.name}))


def _read_name(value: Any, handler: Callable[[Any], Any]) -> Any:
    """Validate the name of a loss. The path of a user's own loss is completed by the digest of its code."""
    if not isinstance(value, str) or not is_path(value):
        return handler(value)
    try:
        return PAIR_LOSSES[value].name
    except ValueError as error:
        raise refusal(error, field="kind") from error


if TYPE_CHECKING:
    AnyLoss: TypeAlias = LossConfig
    LossName: TypeAlias = str
else:
    LossName = Annotated[Literal[tuple(PAIR_LOSSES)], WrapValidator(_read_name), PlainSerializer(str, return_type=str)]
    AnyLoss = Annotated[
        SerializeAsAny[Annotated[Union[tuple(_KINDS.values())], Field(discriminator="kind")]],  # noqa: UP007
        WrapValidator(_read_section),
    ]


def loss_config(kind: str, **parameters: float) -> LossConfig:
    """Return the config of a loss. Hyper-parameters that are not given have their defaults.

    Args:
        kind: The name of a loss of the program, or the path of a user's own loss.
        parameters: The hyper-parameters.

    Raises:
        ValueError: If the path does not lead to a loss, or a hyper-parameter breaks a rule.
    """
    return _section(kind).model_validate(parameters)


def _section(kind: str) -> type[LossConfig]:
    # With and without a digest, a path leads to the same class.
    return _KINDS[kind] if kind in _KINDS else _own_section(PAIR_LOSSES[kind].name)


@cache
def _own_section(path: str) -> type[LossConfig]:
    return loss_section(PAIR_LOSSES[path])


def _read(values: dict[str, Any]) -> LossConfig:
    return loss_config(values.pop("kind"), **values)
