"""Connecting to NATS, and opening the engine in front of it."""

from __future__ import annotations

from asyncio import AbstractEventLoop

from bus.config import EngineSettings
from bus.engine.jetstream.checked_settings import check_settings
from bus.engine.jetstream.engine import JetStreamEngine
from bus.engine.jetstream.naming import Naming
from bus.engine.jetstream.tls import tls_of
from bus.errors import BusError, ConfigError, UnavailableError
from bus.nats import Credentials, Location, NatsError, SettingsError, UnsuitableError, check_server, connect

LARGEST = 8 * 1024 * 1024
"""Bytes that a node has to take: the largest event that Bus does by default, and its headers."""


async def open_jetstream(settings: EngineSettings, loop: AbstractEventLoop) -> JetStreamEngine:
    """An engine on the cluster that *settings* name. Raises `ConfigError` or `UnavailableError`, and leaves nothing
    open.
    """
    check_settings(settings)
    try:
        location = Location.parse(settings.engine)
        path, tls = settings.engine_credentials, tls_of(settings, wanted=location.tls)
        client = await connect(location, credentials=Credentials.read(path) if path else None, tls=tls, name="bus")
    except SettingsError as error:
        raise ConfigError(f"--engine: {error}") from None
    except NatsError as error:
        raise UnavailableError(f"NATS can't be reached: {error}") from None
    engine = JetStreamEngine(settings, client, Naming.of(location.path), loop)
    try:
        check_server(client.cluster, max_payload=LARGEST)
        await engine.open()
    except UnsuitableError as error:
        await engine.aclose()
        raise ConfigError(str(error)) from None
    except NatsError as error:
        await engine.aclose()
        raise UnavailableError(f"the streams can't be opened: {error}") from None
    except BusError:
        await engine.aclose()
        raise
    return engine
