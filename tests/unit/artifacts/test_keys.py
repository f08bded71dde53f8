from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.artifacts import keys
from peerkd.artifacts.keys import fingerprint, key

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


def test_a_version_of_the_programs_numbers_finds_no_artifact_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_what_json_cannot_write_has_no_fingerprint(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        fingerprint({"value": value})
