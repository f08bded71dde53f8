"""The config of peers that leave, come back or lie during the rounds."""

from typing import Literal

from pydantic import Field

from peerkd.config.strict import StrictConfig


class UnreliableConfig(StrictConfig):
    """A peer that is absent or lies in some rounds."""

    peer: int = Field(ge=0)
    """The number of the peer, counted from 0."""

    kind: Literal["absent", "flipped_labels", "random_predictions", "constant_prediction"] = "absent"
    """The behaviour of the peer.

    absent: it neither trains nor exchanges anything, and keeps its network. flipped_labels: it sends what it would send
    if its labels were reversed, so that its prediction and its number of samples for class k are sent as those for
    class K - 1 - k, where K is the number of classes. random_predictions: it sends random predictions, most of them
    confident, which are drawn again in every round. constant_prediction: it sends the same confident prediction for all
    samples.
    """

    first_round: int = Field(default=1, ge=1)
    """The first round, counted from 1, in which the peer behaves in this way."""

    last_round: int | None = Field(default=None, ge=1)
    """The last round, counted from 1, in which the peer behaves in this way. Null: it does so until the last round of
    the study."""

    predicted_class: int = Field(default=0, ge=0)
    """The class of a constant prediction, counted from 0. It has no effect on other behaviours."""

    @property
    def is_lie(self) -> bool:
        """Whether the peer sends predictions that its network did not make."""
        return self.kind != "absent"

    def is_in(self, round: int) -> bool:
        """Return whether the peer behaves in this way in a round. Rounds are counted from 1."""
        return self.first_round <= round and (self.last_round is None or round <= self.last_round)
