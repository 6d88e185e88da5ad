"""Both clients look at the namespaces of a server."""

from __future__ import annotations

import pytest

from bus import Namespace, UnknownNamespaceError
from tests.client.conftest import Connect
from tests.support import ServerProcess


def test_namespaces_are_listed_and_shown(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    receipt = client.put(f"{app}.a", 1)
    found = client.namespaces.get(app)
    assert isinstance(found, Namespace)
    assert (found.namespace, found.next_index, found.storage) == (app, receipt.index + 1, "disk")
    assert found in client.namespaces.list()


@pytest.mark.parametrize("name", ["nowhere", "ä ?"])
def test_a_namespace_that_is_not_served_is_unknown(server: ServerProcess, connect: Connect, name: str) -> None:
    with pytest.raises(UnknownNamespaceError, match="is not declared"):
        connect(server.url).namespaces.get(name)
