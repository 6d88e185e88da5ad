"""What only the client on an event loop does: many things at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import msgspec
import pytest

from bus import AsyncClient
from bus.client.aio.stream import AsyncStream
from bus.errors import DuplicateKeyError, InvalidSubjectError, TimedOutError, UnknownEventError
from bus.event import Draft, Receipt
from bus.wire import encode_receipts
from tests.client.streams import OPEN, frame
from tests.client.support import Peer, Wire, accepted, answered, listening, streaming
from tests.conftest import StartServer
from tests.support import PATIENCE, ServerProcess

pytestmark = pytest.mark.every_engine

StartPeer = Callable[..., Peer]


def lines_for(request: bytes, *, first: int) -> bytes:
    """The answer to an NDJSON publish."""
    count = request.partition(b"\r\n\r\n")[2].count(b"\n") + 1
    receipts = [Receipt(f"e_{index}", "2026-01-31T12:00:00Z", index) for index in range(first, first + count)]
    return answered(b"202 Accepted", encode_receipts(receipts))


def test_puts_gather_while_a_request_is_on_its_way(start_peer: StartPeer) -> None:
    def play(wire: Wire) -> list[int]:
        first = wire.answer(accepted(1))
        second = wire.request()
        wire.send(lines_for(second, first=2))
        return [first.count(b'"subject"'), second.count(b'"subject"')]

    peer = start_peer(play)

    async def main() -> list[int]:
        async with AsyncClient(peer.url) as client:
            early = asyncio.create_task(client.put("app.a", 0))
            await asyncio.sleep(0)  # it is on its way
            await asyncio.sleep(0)
            later = [client.put("app.a", number) for number in range(1, 101)]
            return [receipt.index for receipt in await asyncio.gather(early, *later)]

    assert asyncio.run(main()) == list(range(1, 102))
    assert peer.result(0) == [1, 100]


def test_each_concurrent_put_has_its_own_outcome(server: ServerProcess, app: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            await client.put(f"{app}.a", key="taken")
            puts = [
                client.put(*{0: (f"{app}.a", number), 1: ("app", number)}[number % 2]) for number in range(1000)
            ]  # fmt: skip
            outcomes = await asyncio.gather(*puts, client.put(f"{app}.a", key="taken"), return_exceptions=True)
            assert all(isinstance(outcome, InvalidSubjectError) for outcome in outcomes[1:1000:2])
            assert [outcome.index for outcome in outcomes[:1000:2] if isinstance(outcome, Receipt)] == list(
                range(2, 502)
            )
            assert isinstance(outcomes[1000], DuplicateKeyError)

    asyncio.run(main())


def test_concurrent_puts_are_stored_in_the_order_of_the_calls(server: ServerProcess, app: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            await asyncio.gather(*(client.put(f"{app}.a", number) for number in range(3000)))
            stored = [event.payload async for event in client.get(f"{app}.a", start="oldest", follow=False)]
            assert stored == list(range(3000))

    asyncio.run(main())


def test_a_cancelled_put_leaves_the_others_alone(server: ServerProcess, app: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            tasks = [asyncio.create_task(client.put(f"{app}.a", number)) for number in range(100)]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            kept = [outcome for number, outcome in enumerate(outcomes) if number % 3]
            assert all(isinstance(outcome, Receipt) for outcome in kept)
            assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::3])
            assert await client.put(f"{app}.a")

    asyncio.run(main())


def test_many_that_are_cancelled_send_no_more_and_no_error_is_left_over(start_peer: StartPeer) -> None:
    """The first of several requests is on its way: what waits behind it isn't published any more."""
    arrived, left_over = asyncio.Event(), list[dict[str, object]]()

    def play(wire: Wire) -> int:
        request = wire.request()
        loop.call_soon_threadsafe(arrived.set)
        wire.until_closed()
        return request.count(b'"subject"')

    loop: asyncio.AbstractEventLoop

    async def main() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: left_over.append(context))
        async with AsyncClient(peer.url) as client:
            events = [Draft("app.a", msgspec.Raw(b'"%b"' % (b"x" * 1000)))] * 10_000
            publishing = asyncio.create_task(client.put_many(events, atomic=False))
            await arrived.wait()
            publishing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await publishing
        gc.collect()
        await asyncio.sleep(0)

    peer = start_peer(play)
    asyncio.run(main())
    assert 0 < peer.result(0) < 10_000
    assert not left_over


def test_each_put_keeps_its_own_deadline(start_peer: StartPeer) -> None:
    release = asyncio.Event()

    def play(wire: Wire) -> None:
        request = wire.request()
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(PATIENCE)
        wire.send(lines_for(request, first=1))
        wire.until_closed()

    loop: asyncio.AbstractEventLoop

    async def main() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        async with AsyncClient(start_peer(play).url) as client:
            hasty = asyncio.create_task(client.put("app.a", timeout=0.05))
            patient = asyncio.create_task(client.put("app.a", timeout=PATIENCE))
            with pytest.raises(TimedOutError):
                await hasty
            release.set()
            assert (await patient).index == 2

    asyncio.run(main())


def test_acknowledgements_travel_together_and_fail_for_themselves(server: ServerProcess, app: str) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            await client.put_many([{"subject": f"{app}.a"}] * 300)
            async with client.get(f"{app}.a", start="oldest", ack="manual", prefetch=300) as events:
                taken = [await anext(events) for _ in range(300)]
                wrong = client.ack(events.consumer_id, "e_never")
                outcomes = await asyncio.gather(*(event.ack() for event in taken), wrong, return_exceptions=True)
                assert outcomes[:300] == [None] * 300
                assert isinstance(outcomes[300], UnknownEventError)

    asyncio.run(main())


def test_a_thousand_requests_at_once(server: ServerProcess, app: str) -> None:
    async def serve(client: AsyncClient, ready: asyncio.Event) -> None:
        async with client.get(f"{app}.double", ack="manual", prefetch=100, redelivery="1m") as events:
            ready.set()
            async with asyncio.TaskGroup() as replies:
                async for event in events:
                    replies.create_task(event.reply(event.payload * 2))

    async def main() -> None:
        # The service and the requesters share one client: waiting requests must not keep replies back.
        async with AsyncClient(server.url, timeout=PATIENCE) as client:
            ready = asyncio.Event()
            service = asyncio.create_task(serve(client, ready))
            await ready.wait()
            replies = await asyncio.gather(*(client.request(f"{app}.double", number) for number in range(1000)))
            assert replies == [number * 2 for number in range(1000)]
            service.cancel()
            await asyncio.wait([service])

    asyncio.run(main())


def test_a_slow_reader_is_not_sent_more_than_it_takes(server: ServerProcess, app: str) -> None:
    payload = "x" * 100_000

    async def main() -> None:
        async with AsyncClient(server.url, timeout=PATIENCE) as client:
            await asyncio.gather(*(client.put(f"{app}.a", payload) for _ in range(200)))
            async with client.get(f"{app}.a", start="oldest", limit=200) as events:
                first = await anext(events)
                for _ in range(3):  # other work of the loop, during which the connection could fill the memory
                    await client.put(f"{app}.b")
                assert events._state.waiting < 100
                assert [first.index, *[event.index async for event in events]] == list(range(1, 201))

    asyncio.run(main())


def test_a_dropped_stream_closes_its_connection(start_peer: StartPeer) -> None:
    def play(wire: Wire) -> str:
        wire.answer(streaming(OPEN + frame(1)))
        wire.until_closed()
        return "closed"

    peer = start_peer(play)

    async def main() -> None:
        async with AsyncClient(peer.url) as client:
            async for event in client.get("app.a"):
                assert event.index == 1
                break
            del event  # it could still be acknowledged
            gc.collect()
            await asyncio.sleep(0)
            assert await asyncio.to_thread(peer.result, 0) == "closed"

    asyncio.run(main())


def test_a_dropped_watch_closes_its_connection(start_peer: StartPeer) -> None:
    def play(wire: Wire) -> str:
        wire.answer(streaming(b"event: open\ndata: {}\n\n" + b'event: counts\ndata: {"time":"now","full":true}\n\n'))
        wire.until_closed()
        return "closed"

    peer = start_peer(play)

    async def main() -> None:
        async with AsyncClient(peer.url) as client:
            async for counts in client.watch():
                assert counts.time == "now"
                break
            gc.collect()
            await asyncio.sleep(0)
            assert await asyncio.to_thread(peer.result, 0) == "closed"

    asyncio.run(main())


def test_no_more_is_received_than_is_taken_until_it_is_taken(start_peer: StartPeer) -> None:
    last, filler = 4000, b'"%b"' % (b"x" * 1000)

    def play(wire: Wire) -> None:
        wire.answer(streaming(OPEN + b"".join(frame(index, filler) for index in range(1, last + 1))))
        wire.until_closed()

    peer = start_peer(play)

    async def main() -> None:
        async with AsyncClient(peer.url) as client, client.get("app.a") as stream, asyncio.timeout(PATIENCE):
            while is_reading(stream):  # noqa: ASYNC110  (nobody is told)
                await asyncio.sleep(0)
            async for event in stream:
                if event.index == last:
                    break

    asyncio.run(main())


def is_reading(stream: AsyncStream) -> bool:
    """Whether the connection of *stream* receives what comes."""
    connection = stream._source._connection
    return connection is not None and connection._transport is not None and connection._transport.is_reading()


def test_a_stream_loses_and_repeats_nothing_while_its_server_crashes(start_server: StartServer) -> None:
    server = start_server()

    async def main() -> None:
        async with AsyncClient(server.url, timeout=PATIENCE) as client, client.get("app.a") as events:

            async def publish() -> None:
                for number in range(300):
                    await client.put("app.a", number, key=str(number))
                    if number % 100 == 50:
                        await asyncio.to_thread(server.restart)

            publishing = asyncio.create_task(publish())
            assert [(await anext(events)).payload for _ in range(300)] == list(range(300))
            await publishing

    asyncio.run(main())


def test_closing_sends_what_has_gathered(server: ServerProcess, app: str) -> None:
    async def main() -> list[Receipt]:
        client = AsyncClient(server.url)
        tasks = [asyncio.create_task(client.put(f"{app}.a", number)) for number in range(10)]
        await asyncio.sleep(0)
        await client.close()
        return await asyncio.gather(*tasks)

    assert [receipt.index for receipt in asyncio.run(main())] == list(range(1, 11))


def test_a_stream_that_waits_to_reconnect_can_be_closed(start_peer: StartPeer) -> None:
    slow = OPEN.replace(b"retry: 1000", b"retry: 15000")
    peer = start_peer(lambda wire: wire.answer(streaming(slow)))

    async def main() -> None:
        async with AsyncClient(peer.url) as client:
            events = client.get("app.a")
            with listening("broke and will go on") as broken:
                reading = asyncio.create_task(anext(events, None))
                assert await asyncio.to_thread(broken.wait, PATIENCE)
            await events.close()
            async with asyncio.timeout(5):
                assert await reading is None

    asyncio.run(main())
