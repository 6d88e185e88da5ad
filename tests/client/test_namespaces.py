"""Both clients look at the namespaces of a server."""

from __future__ import annotations

import pytest

from bus import ConflictError, InvalidError, NamespaceDescription, UnknownNamespaceError
from tests.client.conftest import Connect
from tests.support import ServerProcess


def test_namespaces_are_listed_and_shown(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    receipt = client.put(f"{app}.a", 1)
    found = client.namespaces.get(app)
    assert isinstance(found, NamespaceDescription)
    assert (found.namespace, found.next_index, found.storage) == (app, receipt.index + 1, "disk")
    assert found in client.namespaces.list()


@pytest.mark.parametrize("name", ["nowhere", "ä ?"])
def test_a_namespace_that_is_not_served_is_unknown(server: ServerProcess, connect: Connect, name: str) -> None:
    with pytest.raises(UnknownNamespaceError, match="is not declared"):
        connect(server.url).namespaces.get(name)


def test_a_namespace_is_made_changed_and_deleted(server: ServerProcess, connect: Connect) -> None:
    client = connect(server.url)
    made = client.namespaces.put("billing", retention="30d,10GB", max_bytes="5GB")
    assert (made.retention, made.quota, made.declared) == ("30d,10GB", 5 * 10**9, False)
    client.put("billing.a", 1)
    changed = client.namespaces.put("billing", max_bytes=0, retention="default")
    assert (changed.retention, changed.quota, changed.events) == (None, None, 1)
    assert client.namespaces.put("billing", compact="subject").compact == "subject"
    assert client.namespaces.put("billing", compact="none").compact is None
    assert client.namespaces.put("live", storage="memory").storage == "memory"
    client.namespaces.delete("live")
    client.namespaces.delete("billing")
    with pytest.raises(UnknownNamespaceError):
        client.namespaces.delete("billing")


def test_what_can_not_be_is_refused(server: ServerProcess, connect: Connect) -> None:
    client = connect(server.url)
    with pytest.raises(InvalidError, match="is reserved"):
        client.namespaces.put("_bus_")
    with pytest.raises(ConflictError, match="can't be changed"):
        client.namespaces.put("app", storage="memory")
    with pytest.raises(ConflictError, match="is declared"):
        client.namespaces.delete("app")
