"""How many events a consumer has yet to read: those its patterns take, counted piece by piece.

         cursor             upto                  next
    ───────┼──── counted ─────┼──── not looked at ──┼

What was counted stays counted: events that are handed out are taken off, new ones are looked at when somebody asks.
So each event is looked at once at most, by the tables of its batch. A consumer that keeps up has nothing to count.
One that gets the newest of each subject first is behind by so many subjects; those that get another event meanwhile
count twice until it has come past that.
"""

from __future__ import annotations

from bus.engine.consumer.feed import Feed
from bus.engine.delivery.filtering import count_next
from bus.engine.namespace import Namespace
from bus.errors import StorageError
from bus.subject import Filter


class Lag:
    """The unread events of one consumer, whose place in the log is *feed*."""

    def __init__(self, namespace: Namespace, wanted: Filter, feed: Feed) -> None:
        self._namespace = namespace
        self._filter = wanted
        self._feed = feed
        self._upto = feed.cursor
        self._total = 0
        self._skipped = feed.skipped

        self._first = namespace.first

    @property
    def is_exact(self) -> bool:
        """Whether all of the log was looked at."""
        self._keep_up()
        return self._upto >= self._namespace.next

    @property
    def events(self) -> int:
        """How many there are, as far as was looked."""
        self._keep_up()
        return self._total - self._feed.handed

    def _keep_up(self) -> None:
        """Begin anew where the feed is, if it has overtaken the count, or events that were counted are gone."""
        feed, first = self._feed, self._namespace.first
        gone = feed.skipped != self._skipped or (first != self._first and first > feed.cursor)
        if gone or feed.cursor >= self._upto:
            self._upto, self._total = max(feed.cursor, first), feed.handed
        self._skipped, self._first = feed.skipped, first

    def look(self) -> None:
        """Look at the next piece of the log. What can't be read isn't there."""
        self._keep_up()
        if self._upto < self._feed.newest_until and self._look_at_newest():
            return
        try:
            batches = self._namespace.read(self._upto)
        except StorageError:
            batches = ()
        counted = count_next(batches, self._filter, start=self._upto)
        self._total += counted.events
        self._upto = counted.end if batches else self._namespace.next

    def _look_at_newest(self) -> bool:
        """Look at some subjects; False if it isn't known yet which are to come."""
        subjects, following = self._feed.newest_from(self._upto)
        is_known = following > self._upto
        self._total, self._upto = self._total + len(subjects), following
        return is_known

    def __repr__(self) -> str:
        return f"<Lag of {self._filter}: {self.events} events up to {self._upto}>"
