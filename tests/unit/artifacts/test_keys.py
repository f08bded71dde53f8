from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from peerkd.artifacts import keys
from peerkd.artifacts.keys import differences, fingerprint, key
from peerkd.config.strict import StrictConfig
from tests.unit.artifacts import key_defaults

VALUES = {"seed": 0, "sweep": {"alphas": [0.1, 0.5], "name": "é"}, "path": None, "flip": True}

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def backwards(values: Any) -> Any:
    """Return the same value with the keys of every mapping in the other order."""
    if isinstance(values, dict):
        return {name: backwards(value) for name, value in reversed(values.items())}
    return [backwards(value) for value in values] if isinstance(values, list) else values


def test_a_fingerprint_is_the_same_on_every_machine_and_in_every_release() -> None:
    # printf '{"flip":true,"path":null,"seed":0,"sweep":{"alphas":[0.1,0.5],"name":"\\u00e9"}}' | sha256sum
    assert fingerprint(VALUES) == "4371b87a4ce2fc2799492ab1333d993779a84e84397e7268042e44cd3b15b566"
    # printf '{}' | sha256sum
    assert fingerprint({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_a_key_is_the_noun_and_sixteen_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "NUMERICS_VERSION", 1)
    # printf '[1,{}]' | sha256sum
    assert key("peers", {}) == "peers/ede0de8074924080"


def test_an_artifact_of_another_numerics_version_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key("peers", VALUES)
    monkeypatch.setattr(keys, "NUMERICS_VERSION", keys.NUMERICS_VERSION + 1)
    assert key("peers", VALUES) != before


@given(values=_JSON)
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(values: Any) -> None:
    assert fingerprint(backwards(values)) == fingerprint(values)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"seed": False}, {"seed": "0"}, {"path": ""}, {"sweep": {}}, {"more": None}]
)
def test_a_fingerprint_changes_with_any_value(change: dict[str, Any]) -> None:
    assert fingerprint({**VALUES, **change}) != fingerprint(VALUES)


def test_the_order_of_a_list_counts() -> None:
    assert fingerprint([1, 2]) != fingerprint([2, 1])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_json_cannot_represent_have_no_fingerprint(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        fingerprint({"value": value})


class Round(StrictConfig):
    kind: Literal["round"] = "round"
    diameter: int = 3


class Square(StrictConfig):
    kind: Literal["square"] = "square"
    side: int
    corners: Literal["sharp", "blunt"] = "sharp"


Shape = Annotated[Round | Square, Field(discriminator="kind")]


class Table(StrictConfig):
    height: float = 1.0
    colours: tuple[str, ...] = ("red", "blue")
    top: Shape = Round(diameter=5)
    lamp: Round | None = None
    drawers: tuple[Shape, ...] = ()


class Room(StrictConfig):
    number: int
    area: float | None = None
    table: Table = Table()


class TallRound(Round):
    """A later version of a class, with one more field."""

    height: int = 7


class LargeSquare(Square):
    height: int = 7


LaterShape = Annotated[TallRound | LargeSquare, Field(discriminator="kind")]


class LaterTable(Table):
    top: LaterShape = TallRound(diameter=5)
    lamp: TallRound | None = None
    drawers: tuple[LaterShape, ...] = ()
    legs: int = 4


class LaterRoom(Room):
    table: LaterTable = LaterTable()
    windows: tuple[str, ...] = ("south",)


_ROUNDS = st.builds(Round, diameter=st.integers(2, 6))
_SHAPES = _ROUNDS | st.builds(Square, side=st.integers(1, 3), corners=st.sampled_from(["sharp", "blunt"]))
_TABLES = st.builds(
    Table,
    height=st.sampled_from([1.0, 2.5]),
    colours=st.lists(st.sampled_from(["red", "blue"]), max_size=3).map(tuple),
    top=_SHAPES,
    lamp=st.none() | _ROUNDS,
    drawers=st.lists(_SHAPES, max_size=2).map(tuple),
)
_ROOMS = st.builds(Room, number=st.integers(0, 1), area=st.none() | st.just(1.0), table=_TABLES | st.just(Table()))


def test_only_what_differs_from_the_defaults_describes_a_config() -> None:
    assert differences(Table()) == {}
    assert differences(Room(number=0)) == {"number": 0}
    assert differences(Room(number=1, area=2, table=Table(colours=("red",)))) == {
        "number": 1,
        "area": 2.0,
        "table": {"colours": ["red"]},
    }


def test_a_config_is_compared_with_the_default_in_its_place_and_not_with_that_of_its_class() -> None:
    assert differences(Table(top=Round(diameter=5))) == {}
    assert differences(Table(top=Round())) == {"top": {"diameter": 3}}


def test_a_config_of_another_class_than_the_default_is_described_with_its_kind() -> None:
    assert differences(Table(top=Square(side=2))) == {"top": {"kind": "square", "side": 2}}
    assert differences(Table(lamp=Round())) == {"lamp": {"kind": "round"}}
    assert differences(Table(drawers=(Round(diameter=4), Round()))) == {
        "drawers": [{"kind": "round", "diameter": 4}, {"kind": "round"}]
    }


def test_fields_can_be_included_and_excluded() -> None:
    room = Room(number=1, area=2, table=Table(height=3, colours=(), top=Round()))
    assert differences(room, fields=("area", "table.height")) == {"area": 2.0, "table": {"height": 3.0}}
    assert differences(room, fields=("table",), without=("table.top",)) == {"table": {"height": 3.0, "colours": []}}
    assert differences(room, without=("table", "number")) == {"area": 2.0}
    assert differences(room, fields=("table.top",), without=("table.top.diameter",)) == {}


@pytest.mark.parametrize("name", ["heigt", "table.heigt", "number.digits", "table.height.unit", ""])
def test_the_name_of_a_field_that_does_not_exist_is_refused(name: str) -> None:
    message = f"^Room must have the field {name}, got none of that name.$"
    with pytest.raises(ValueError, match=message):
        differences(Room(number=1), fields=(name,))
    with pytest.raises(ValueError, match=message):
        differences(Room(number=1), without=(name,))


@given(room=_ROOMS)
def test_new_fields_with_their_defaults_change_no_differences(room: Room) -> None:
    later = LaterRoom.from_json(room.to_json())
    assert differences(later) == differences(room)
    assert "windows" in differences(later.model_copy(update={"windows": ()}))


@given(one=_ROOMS, other=_ROOMS)
def test_two_configs_have_the_same_differences_only_if_they_are_equal(one: Room, other: Room) -> None:
    assert (differences(one) == differences(other)) == (one == other)


def test_a_default_changes_only_with_the_version_of_the_numbers() -> None:
    recorded, now = key_defaults.recorded(), key_defaults.defaults()
    how = "run `python -m tests.unit.artifacts.key_defaults` and commit key_defaults.json"
    assert recorded["numerics_version"] == keys.NUMERICS_VERSION, f"NUMERICS_VERSION was raised: {how}."
    changed = sorted(name for name, value in recorded["defaults"].items() if now.get(name, value) != value)
    assert not changed, f"Raise NUMERICS_VERSION, since keys of artifacts leave out the old defaults of {changed}."
    assert not now.keys() - recorded["defaults"].keys(), f"There are new fields: {how}."
