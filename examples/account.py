"""Account: one that can't be overdrawn, though several processes withdraw from it at once (event sourcing).

The account is its history: nothing else is stored. Who withdraws adds up the events of the account's subject, and has
the withdrawal stored only if none came after them; else it looks again.

Run it against a server with namespace app: python examples/account.py
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Literal

import msgspec

from bus import Client, WrongIndexError

URL = os.environ.get("BUS_HOST", "http://localhost:2021")
ACCOUNT = f"app.accounts.{os.getpid()}"


class Change(msgspec.Struct):
    """What an event of an account says."""

    kind: Literal["deposited", "withdrawn"]
    amount: int


class Account(msgspec.Struct):
    """What the events up to ``index`` come to."""

    balance: int = 0
    index: int = 0

    def add(self, change: Change, index: int) -> None:
        self.balance += change.amount if change.kind == "deposited" else -change.amount
        self.index = index


def load(client: Client, subject: str) -> Account:
    """The account as its history has it."""
    account = Account()
    for event in client.get(subject, start="oldest", follow=False, payload_type=Change):
        account.add(event.payload, event.index)
    return account


def withdraw(client: Client, subject: str, amount: int) -> bool:
    """Take *amount* from the account, unless there is less on it."""
    while True:
        account = load(client, subject)
        if account.balance < amount:
            return False
        try:
            client.put(subject, Change("withdrawn", amount), expect_subject=account.index)
            return True
        except WrongIndexError:
            continue  # somebody was faster: decide anew


def withdraw_often(subject: str) -> int:
    """Withdraw until there is nothing left; returns how often it could."""
    with Client(URL) as client:
        times = 0
        while withdraw(client, subject, 10):
            times += 1
        return times


def main() -> None:
    with Client(URL) as client:
        client.put(ACCOUNT, Change("deposited", 205), expect_subject=0)
        with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
            times = list(pool.map(withdraw_often, [ACCOUNT] * 4))
        print(f"4 processes withdrew 10 from 205, {sum(times)} times in all")

        account = Account()
        for event in client.get(ACCOUNT, start="oldest", follow=False, payload_type=Change):
            account.add(event.payload, event.index)
            assert account.balance >= 0, f"overdrawn by event {event.index}"
        print(f"{account.balance} is left, and it was never overdrawn")


if __name__ == "__main__":
    main()
