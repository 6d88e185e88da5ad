"""Publishing, subscribing and asking, by a real server."""

from __future__ import annotations

import asyncio

import pytest

from bus.nats import (
    Client,
    DisconnectedError,
    Message,
    NatsError,
    NoAnswerError,
    NoRespondersError,
    NotDeliveredError,
    PayloadTooLargeError,
    UnknownOutcomeError,
    UnsuitableError,
    check_server,
    encode_headers,
)
from tests.nats.conftest import Run


def test_a_message_arrives_as_it_was_sent(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        heard: list[Message] = []
        client.cluster.subscribe(f"{name}.>", heard.append)
        headers = encode_headers({"A": "b"})
        client.cluster.publish(f"{name}.a", b"x\r\ny", reply="somewhere", headers=headers)
        client.cluster.publish(f"{name}.b")
        await client.cluster.flush()
        assert heard == [Message(f"{name}.a", "somewhere", headers, b"x\r\ny"), Message(f"{name}.b", "", b"", b"")]

    run(check)


def test_nothing_comes_after_unsubscribing(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        heard: list[Message] = []
        subscription = client.cluster.subscribe(name, heard.append)
        client.cluster.publish(name)
        await client.cluster.flush()
        client.cluster.unsubscribe(subscription)
        client.cluster.publish(name)
        await client.cluster.flush()
        assert len(heard) == 1

    run(check)


def test_one_of_a_queue_gets_each(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        heard: list[Message] = []
        for _ in range(3):
            client.cluster.subscribe(name, heard.append, queue="workers")
        for _ in range(20):
            client.cluster.publish(name)
        await client.cluster.flush()
        assert len(heard) == 20

    run(check)


def test_a_large_payload(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        heard: list[bytes] = []
        client.cluster.subscribe(name, lambda message: heard.append(message.payload))
        payload = bytes(range(256)) * 16384
        client.cluster.publish(name, payload)
        await client.cluster.flush()
        assert heard == [payload]

    run(check)


def test_many_requests_at_once(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        client.cluster.subscribe(name, lambda message: client.cluster.publish(message.reply, message.payload[::-1]))
        asked = (client.requests.ask(name, f"{i:04}".encode(), seconds=10) for i in range(500))
        answers = await asyncio.gather(*asked)
        assert [answer.payload.decode()[::-1] for answer in answers] == [f"{i:04}" for i in range(500)]
        assert len(client.requests) == 0

    run(check)


def test_no_responders_is_certainly_not_done(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        with pytest.raises(NoRespondersError, match=f"no responders on {name}") as raised:
            await client.requests.ask(name, seconds=10)
        assert isinstance(raised.value, NotDeliveredError)

    run(check)


def test_no_answer_is_unknown(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        client.cluster.subscribe(name, lambda message: None)
        with pytest.raises(NoAnswerError) as raised:
            await client.requests.ask(name, seconds=0.1)
        assert isinstance(raised.value, UnknownOutcomeError)
        assert len(client.requests) == 0

    run(check)


def test_many_answers_until_the_end(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        def answer(message: Message) -> None:
            for number in range(5):
                client.cluster.publish(message.reply, b"%d" % number)

        answers: asyncio.Queue[Message | NatsError] = asyncio.Queue()
        client.cluster.subscribe(name, answer)
        request = client.requests.send(name, b"", answers.put_nowait, seconds=0.3, many=True)
        heard = [await answers.get() for _ in range(6)]
        assert [answer.payload for answer in heard if isinstance(answer, Message)] == [b"0", b"1", b"2", b"3", b"4"]
        assert isinstance(heard[-1], NoAnswerError)
        client.requests.end(request)

    run(check)


def test_a_mistake_of_one_handler_is_its_own(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        mistakes: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: mistakes.append(context["message"]))
        heard: list[Message] = []

        def handle(message: Message) -> None:
            heard.append(message)
            raise LookupError

        client.cluster.subscribe(name, handle)
        client.cluster.publish(name)
        client.cluster.publish(name)
        await client.cluster.flush()
        assert len(heard) == 2
        assert mistakes == [f"handling a message of {name} failed"] * 2

    run(check)


def test_a_closed_client_sends_nothing(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await client.close()
        with pytest.raises(DisconnectedError, match="nothing was sent"):
            client.cluster.publish(name)
        with pytest.raises(DisconnectedError):
            await client.requests.ask(name, seconds=1)

    run(check)


def test_what_no_server_takes_is_not_sent(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        most = client.cluster.info.max_payload
        client.cluster.publish(name, bytes(most))
        with pytest.raises(PayloadTooLargeError, match=f"more than max_payload .{most}."):
            await client.requests.ask(name, bytes(most), seconds=1, headers=encode_headers({}))
        await client.cluster.flush()
        assert len(client.requests) == 0

    run(check)


def test_congestion_is_seen_and_ends(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        while not client.cluster.congested:
            client.cluster.publish(name, bytes(1_000_000))
            await asyncio.sleep(0)
        assert client.cluster.unsent > 0
        await client.cluster.drained()
        assert not client.cluster.congested

    run(check)


def test_a_server_is_checked(run: Run) -> None:
    async def check(client: Client) -> None:
        check_server(client.cluster, max_payload=8 << 20)
        with pytest.raises(UnsuitableError, match="max_payload: 8388609"):
            check_server(client.cluster, max_payload=(8 << 20) + 1)

    run(check)
