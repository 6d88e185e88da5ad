"""What a receipt may say: replicated, and whether to disk, which clients of NATS can't see.

A node's ``sync_interval`` is in its monitoring (``/jsz?config=1``). Given those addresses it is verified when a server
starts; else the operator may claim it, which the log says.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from bus.config import EngineSettings
from bus.errors import ConfigError
from bus.wire import Durability

log = logging.getLogger("bus.engine")

SECONDS = 5.0


class _JetStreamConfig(msgspec.Struct):
    sync_always: bool = False


class _Monitored(msgspec.Struct):
    config: _JetStreamConfig | None = None


async def durability_of(settings: EngineSettings, *, replicas: int) -> Durability:
    """What an acknowledged event is. Raises `ConfigError` if a node that is looked at doesn't sync always."""
    synced = settings.engine_synced
    if settings.engine_monitors:
        await asyncio.to_thread(_verify, settings.engine_monitors)
        synced = True
    elif synced:
        log.warning("receipts say that events are synced because --engine-synced does: nobody has verified it")
    if replicas > 1:
        return Durability.REPLICATED_FSYNC if synced else Durability.REPLICATED
    return Durability.FSYNC if synced else Durability.OS


def _verify(monitors: Sequence[str]) -> None:
    for monitor in monitors:
        try:
            found = msgspec.json.decode(_get(monitor), type=_Monitored)
        except (OSError, http.client.HTTPException, msgspec.MsgspecError, ValueError) as error:
            raise ConfigError(f"--engine-monitors: {monitor} doesn't say how it syncs: {error}") from None
        if found.config is None or not found.config.sync_always:
            raise ConfigError(
                f'{monitor} doesn\'t sync before it answers: add "sync_interval: always" to its jetstream'
            )


def _get(monitor: str) -> bytes:
    place = urlsplit(monitor if "//" in monitor else f"http://{monitor}")
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 8222, timeout=SECONDS)
    try:
        connection.request("GET", "/jsz?config=1")
        return connection.getresponse().read()
    finally:
        connection.close()
