"""Waiting for those who acknowledge an event, at this Bus server or another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bus.engine.base import AwaitedConfirmations
from bus.engine.jetstream.namespace import JetNamespace
from bus.engine.jetstream.peers import Peers


class SharedConfirmations:
    """Hears of other servers' acknowledgements while somebody waits here."""

    def __init__(self, peers: Peers, namespace: JetNamespace, changed: Callable[[Sequence[str]], None]) -> None:
        confirmations = namespace.confirmations
        self._peers = peers
        self._inside: AwaitedConfirmations = confirmations.expect(changed)
        self._subscription = peers.hear_acknowledged(namespace.name, confirmations.add)

    def stored(self, index: int) -> None:
        """As `AwaitedConfirmations.stored`."""
        self._inside.stored(index)

    def stop(self) -> None:
        """Nobody waits any more."""
        self._peers.ignore(self._subscription)
        self._inside.stop()
