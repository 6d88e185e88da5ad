"""Mistakes somebody could make in Bus, each with the tests that must notice it.

They are kept as what is replaced by what in one file, so that each can be read in one glance and planted anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

ORDER = "tests/faults/test_order.py"
FAILING = "tests/faults/test_failing_disk.py"
CONSUMERS = "tests/faults/test_consumers.py"
DURABILITY = "tests/storage/test_durability.py"
RECOVERY = "tests/storage/test_recovery.py"
FAULTS = "tests/storage/test_faults.py"
PREALLOCATION = "tests/storage/test_preallocation.py"
DIRECTORY = "tests/server/test_directory.py"
TERMS = "tests/server/test_terms.py"
CHANGES = "tests/server/test_consumer_changes.py"
MOVES = "tests/server/test_moves.py"
MANAGED = "tests/engine/embedded/test_managed_consumers.py"
SHORTER = "tests/server/test_shorter_log.py"
WINDOW = "tests/engine/embedded/test_duplicates.py"
PAGES = "tests/server/test_pages.py"
RETAINED = "tests/server/test_retention.py"
CIPHER = "tests/storage/test_cipher.py"
JOBS = "tests/client/test_jobs.py"
TAKEOVER = "tests/client/test_takeover.py"
LATE_ACKS = "tests/client/test_late_acks.py"
DECODE = "tests/client/test_decode.py"
HOSTILE = "tests/client/test_hostile.py"
REQUESTS = "tests/server/test_requests.py"
BAD_INPUT = "tests/server/test_bad_input.py"
DAMAGE = "tests/server/test_damage.py"
DELETION = "tests/storage/test_deletion.py"
SCHEDULER = "tests/engine/schedules/test_scheduler.py"
BOUNDS = "tests/server/test_bounds.py"
SUBJECT_TABLE = "tests/engine/embedded/subjects/test_table.py"
FROM_LAST = "tests/server/test_consumers_from_last.py"
SUBJECT_CALLS = "tests/faults/test_subject_calls.py"
REWRITING = "tests/storage/test_rewriting.py"
COMPACTING = "tests/engine/embedded/compaction/test_compaction.py"
CONDITIONAL = "tests/engine/embedded/test_conditional_publishing.py"
NAMESPACE_TABLE = "tests/engine/embedded/test_namespace_table.py"
NAMESPACE_ADMIN = "tests/engine/embedded/test_namespace_admin.py"
NAMESPACES = "tests/server/test_namespace_changes.py"
KEPT = "tests/cli/test_kept_namespaces.py"
STORED_EVENTS = "tests/server/test_stored_events.py"
NEWEST_FIRST = "tests/engine/reading/test_newest_first.py"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake.

    Parameters:
        what: what is wrong with it, in a few words.
        file: where it is made, below ``src/bus``.
        edits: pairs of text that is there, once or more, and what takes its place.
        tests: what must fail for it, as arguments for pytest.
    """

    what: str
    file: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]


MISTAKES = (
    Mistake(
        "a file that was removed is synced all the same",
        "storage/active_segment.py",
        (("if not state.has_name:", "if False:"),),
        (DIRECTORY,),
    ),
    Mistake(
        "a file of the data directory may be a link or a pipe",
        "storage/regular_files.py",
        (("        if kind != stat.S_IFREG:", "        if False:"), (" | os.O_NOFOLLOW | os.O_NONBLOCK", "")),
        (f"{DIRECTORY}::test_what_is_no_file_is_named_and_left_alone",),
    ),
    Mistake(
        "a look at a consumer changes its terms",
        "engine/consumer/terms.py",
        (
            ("if wanted.redelivery is not None:", "if True:"),
            ("redelivery=wanted.redelivery,", "redelivery=wanted.redelivery or (5.0,),"),
        ),
        (TERMS,),
    ),
    Mistake(
        "a place beyond the end of the log is corrected in memory only",
        "engine/embedded/consumers/durable_consumers.py",
        (("            self._rewrite(fitting)\n", ""),),
        (SHORTER,),
    ),
    Mistake(
        "keys are remembered by their number alone",
        "engine/embedded/duplicates.py",
        (("if now - since >= FLOOR:", "if True:"),),
        (WINDOW,),
    ),
    Mistake(
        "what a page asks is not looked at when it uploads",
        "server/api/dispatcher.py",
        (("            self._gate.let_in(request, responder)\n", ""),),
        (PAGES,),
    ),
    Mistake(
        "retention by force says nothing",
        "engine/embedded/retention.py",
        (("            self._loop.call_soon_threadsafe(self._tell, namespace, subjects)\n", ""),),
        (RETAINED,),
    ),
    Mistake(
        "the sync of a file does nothing",
        "storage/files.py",
        (("os.fdatasync(self._fd)", "pass"),),
        (ORDER,),
    ),
    Mistake(
        "the sync of a directory does nothing",
        "storage/files.py",
        (("            os.fsync(fd)\n", "            pass\n"),),
        (ORDER,),
    ),
    Mistake(
        "the log says it is synced and isn't",
        "storage/active_segment.py",
        (("        self.file.sync()\n        self.synced", "        self.synced"),),
        (DURABILITY,),
    ),
    Mistake(
        "the name of a new segment is not synced",
        "storage/active_segment.py",
        (("        file.sync()\n        files.sync_directory(path.parent)\n", "        file.sync()\n"),),
        (DURABILITY,),
    ),
    Mistake(
        "a sidecar gets its name before its content is synced",
        "storage/sidecar.py",
        (("        file.write(0, data)\n        file.sync()\n", "        file.write(0, data)\n"),),
        (ORDER,),
    ),
    Mistake(
        "the answer comes before the sync",
        "engine/embedded/group_commit.py",
        (("_append(self._store, batches, sync=True)", "_append(self._store, batches, sync=False)"),),
        (ORDER,),
    ),
    Mistake(
        "the answer doesn't care whether the sync failed",
        "engine/embedded/group_commit.py",
        (("        return 0, error\n", "        return stored, None\n"),),
        (f"{FAILING}::test_after_a_failure_nothing_is_acknowledged_until_a_restart",),
    ),
    Mistake(
        "after a failed sync the log goes on",
        "storage/log.py",
        (('self.failure = f"writing', 'failure = f"writing'), ("{self.failure}: check", "{failure}: check")),
        (FAULTS,),
    ),
    Mistake(
        "readiness stays green after a failure",
        "server/api/monitoring.py",
        (("        if failure:\n", "        if False:\n"),),
        (f"{FAILING}::test_after_a_failure_nothing_is_acknowledged_until_a_restart",),
    ),
    Mistake(
        "a short write counts as a whole one",
        "storage/files.py",
        (("        while done < size:\n", "        while False:\n"),),
        ("tests/storage/test_files.py",),
    ),
    Mistake(
        "half a batch stays behind when the disk is full",
        "storage/log.py",
        (("            active.trim()\n", "            pass\n"),),
        (FAULTS,),
    ),
    Mistake(
        "the checksum leaves out the header of the batch",
        "storage/batch_codec.py",
        (
            ("crc32c(fields + table,", "crc32c(table,"),
            ("crc32c(view[at + 8 : end]", "crc32c(view[at + HEAD_SIZE : end]"),
        ),
        ("tests/storage/test_flips.py",),
    ),
    Mistake(
        "the checksum leaves out the place in the file",
        "storage/batch_codec.py",
        (("self.seed ^ offset)", "self.seed)"), ("seed ^ (offset + at))", "seed)")),
        ("tests/storage/test_batch.py",),
    ),
    Mistake(
        "the last batch is not counted when it ends where the file does",
        "storage/batch_codec.py",
        (("or end > size or not count", "or end >= size or not count"),),
        (RECOVERY,),
    ),
    Mistake(
        "zeros are written behind the sync instead of before it",
        "storage/active_segment.py",
        (
            (
                "            self._preallocate()\n        self.file.sync()\n",
                "            self.file.sync()\n            return self._preallocate()\n        self.file.sync()\n",
            ),
        ),
        (ORDER,),
    ),
    Mistake(
        "a sync doesn't read back what was written",
        "storage/active_segment.py",
        (("            if self.file.read(offset, len(written)) != written:\n", "            if False:\n"),),
        (f"{PREALLOCATION}::test_a_write_that_was_claimed_and_not_done_is_noticed",),
    ),
    Mistake(
        "a sync reads back the beginning alone",
        "storage/active_segment.py",
        ((", (end - _EDGE, data[-_EDGE:]))", ",)"),),
        (f"{PREALLOCATION}::test_a_write_that_was_claimed_and_not_done_is_noticed",),
    ),
    Mistake(
        "a sync doesn't look at the size",
        "storage/active_segment.py",
        (("        if state.size != self._size:\n", "        if False:\n"),),
        (f"{PREALLOCATION}::test_a_file_that_somebody_else_cuts_is_noticed",),
    ),
    Mistake(
        "a segment is closed with its zeros",
        "storage/active_segment.py",
        (("            self.trim()\n            self.file.sync()\n", "            self.file.sync()\n"),),
        (DURABILITY,),
    ),
    Mistake(
        "a sidecar comes before the cut is synced",
        "storage/active_segment.py",
        (
            (
                "            self.trim()\n            self.file.sync()\n",
                "            self.file.sync()\n            self.trim()\n",
            ),
        ),
        (DURABILITY,),
    ),
    Mistake(
        "no room for zeros is taken for a failure",
        "storage/active_segment.py",
        (("            if error.errno not in FULL:\n", "            if True:\n"),),
        (PREALLOCATION,),
    ),
    Mistake(
        "zeros behind the last batch are a torn tail",
        "storage/stored_segment.py",
        (("if size and not scan.is_filled(hole) else None", ""),),
        (PREALLOCATION,),
    ),
    Mistake(
        "zeros behind the last batch stay when a log is opened",
        "storage/recovery.py",
        (("        if found.end < stored.size:\n", "        if found.torn:\n"),),
        (PREALLOCATION,),
    ),
    Mistake(
        "what a writer fills while it is looked at is damage",
        "storage/scan.py",
        (("return next(self._run(hole.offset, hole.first), None) is not None", "return False"),),
        (PREALLOCATION,),
    ),
    Mistake(
        "a torn tail stays in the file",
        "storage/recovery.py",
        (("            stored.file.truncate(found.end)\n", ""),),
        (RECOVERY,),
    ),
    Mistake(
        "corruption is taken for a torn tail and cut off silently",
        "storage/stored_segment.py",
        (("elif durable > item.offset or _was_durable(scan, item):", "elif durable > item.offset:"),),
        (RECOVERY,),
    ),
    Mistake(
        "what recovery found is synced without being written again",
        "storage/recovery.py",
        (("            stored.file.write(offset, stored.file.read(", "            (offset, stored.file.read("),),
        (FAULTS,),
    ),
    Mistake(
        "a segment is removed before its sidecar",
        "storage/log.py",
        (
            (
                "(segment.path.with_suffix(SIDECAR_SUFFIX), segment.path)",
                "(segment.path, segment.path.with_suffix(SIDECAR_SUFFIX))",
            ),
        ),
        (DURABILITY,),
    ),
    Mistake(
        "the nonces of a key repeat",
        "storage/cipher.py",
        (("os.urandom(NONCE * blocks)", "sha256(context).digest()[:NONCE] * blocks"),),
        ("tests/faults/test_nonces.py",),
    ),
    Mistake(
        "an encrypted block opens in any place",
        "storage/cipher.py",
        (("if data[: _PLACE.size] != _PLACE.pack(context, block, blocks):", "if not data:"),),
        (CIPHER,),
    ),
    Mistake(
        "a key is not proved before the log is touched",
        "storage/header.py",
        (("            self._prove(path, cipher)\n", "            pass\n"),),
        ("tests/storage/test_encryption.py",),
    ),
    Mistake(
        "a duplicate key is used up before its event is stored",
        "engine/embedded/log_namespace.py",
        (
            (
                "            self._schedule()\n\n    def _begin_batch",
                "            self._schedule()\n"
                "        for key, receipt in self._gathering[-1].claimed.items():\n"
                "            self._duplicates.store(key, receipt, now=now)\n\n    def _begin_batch",
            ),
        ),
        (f"{FAILING}::test_a_key_counts_as_used_only_when_its_event_is_stored",),
    ),
    Mistake(
        "a consumer's place is written without what is pending",
        "engine/embedded/consumers/durable_consumer.py",
        (('pending=sorted(pending + burying, key=attrgetter("index"))', "pending=[]"),),
        (CONSUMERS,),
    ),
    Mistake(
        "a new consumer gets events before it is written down",
        "engine/embedded/consumers/durable_consumers.py",
        (("        self.write(self.state_of(durable))\n        self._durables", "        self._durables"),),
        (CONSUMERS,),
    ),
    Mistake(
        "retention looks at no consumer",
        "engine/embedded/retention.py",
        (("needed = self._durable.oldest_needed(namespace.name)", "needed: int | None = None"),),
        (f"{RETAINED}::test_nothing_is_let_go_of_that_a_durable_consumer_needs", CONSUMERS),
    ),
    Mistake(
        "two servers can have one directory",
        "engine/embedded/data_directory.py",
        (("            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "            pass\n"),),
        ("tests/faults/test_two_servers.py",),
    ),
    Mistake(
        "a handler that exits takes its thread along",
        "client/blocking/work_loop.py",
        (
            (
                "        except BaseException as error:\n            if self._forked:",
                "        except Exception as error:\n            if self._forked:",
            ),
        ),
        (f"{TAKEOVER}::test_what_ended_while_the_stream_was_down_is_said_when_it_is_back",),
    ),
    Mistake(
        "a running job is begun again when its event comes again",
        "client/core/jobs.py",
        (("        if job is None:\n", "        if True:\n"),),
        (JOBS, TAKEOVER),
    ),
    Mistake(
        "what came by a connection that is gone is begun",
        "client/core/jobs.py",
        (("not event.connection.live or ", ""), ("        self._waiting.clear()\n", "")),
        (JOBS,),
    ),
    Mistake(
        "a worker that was stopped begins what came meanwhile",
        "client/core/jobs.py",
        (("if self._awake_at - before >= self._standstill:", "if False:"),),
        (JOBS,),
    ),
    Mistake(
        "a rejection that came too late becomes an acknowledgement",
        "client/core/late_acks.py",
        (("replace(said, consumer_id=event.consumer_id)", "Acknowledgement(event.consumer_id, [event.id])"),),
        (f"{LATE_ACKS}::test_a_rejection_that_came_too_late_is_said_and_not_an_acknowledgement",),
    ),
    Mistake(
        "an event that can't be decoded ends the stream",
        "client/core/decode.py",
        (
            (
                "        except UNREADABLE:\n            yield from",
                "        except AssertionError:\n            yield from",
            ),
        ),
        (f"{DECODE}::test_an_event_that_can_not_be_read_is_named_and_passed",),
    ),
    Mistake(
        "the client reads heads without end",
        "client/core/response.py",
        (("self._before_body > LONGEST_HEAD or ", ""),),
        (f"{HOSTILE}::test_no_more_of_an_answer_is_held_than_one_can_have",),
    ),
    Mistake(
        "a page that is no stream is waited for",
        "client/core/stream.py",
        (("if content_type != SSE and (content_type or not consumer_id):", "if False:"),),
        (f"{HOSTILE}::test_what_is_no_stream_of_bus_is_an_error_at_once",),
    ),
    Mistake(
        "a child talks on the connections of its parent",
        "client/core/forks.py",
        (("        if (method := found()) is not None:\n            method()", "        found()"),),
        ("tests/client/test_forks.py",),
    ),
    Mistake(
        "a worker takes signals from its program",
        "client/core/signals.py",
        (("if number not in self._before and _is_default(number, before):", "if number not in self._before:"),),
        ("tests/client/test_signals.py",),
    ),
    Mistake(
        "a line of the stream ends in LF alone",
        "sse.py",
        (('if self._after_cr or b"\\r" in data:', "if False:"),),
        ("tests/test_sse.py",),
    ),
    Mistake(
        "a trailer is dropped without a look",
        "server/http/chunked.py",
        (("        elif not _TRAILER.fullmatch(line):\n", "        elif False:\n"),),
        ("tests/server/test_chunks.py",),
    ),
    Mistake(
        "a host may be anything",
        "server/http/request.py",
        (("            check_authority(self._headers[b", "            (self._headers[b"),),
        (f"{REQUESTS}::test_a_host_is_a_name_or_an_address",),
    ),
    Mistake(
        "an expectation counts only until the body comes",
        "server/http/request_reader.py",
        (
            (
                "        check_expectation(head.section)\n",
                "        if not self.buffer:\n            check_expectation(head.section)\n",
            ),
        ),
        (f"{REQUESTS}::test_what_is_no_request_is_refused_and_the_connection_closed",),
    ),
    Mistake(
        "an address takes parameters it doesn't know",
        "server/http/query.py",
        (("        if name not in once:\n", "        if False:\n"),),
        (f"{BAD_INPUT}::test_an_address_knows_the_parameters_of_its_description_and_no_others",),
    ),
    Mistake(
        "a misspelt field of an event is passed over",
        "event.py",
        ((", forbid_unknown_fields=True", ""),),
        (f"{BAD_INPUT}::test_a_refused_event_stores_nothing",),
    ),
    Mistake(
        "a number is converted without a look at all of it",
        "units.py",
        (("_WHOLE.fullmatch(text)", "text.lstrip('-').isdigit()"),),
        ("tests/server/test_heads.py",),
    ),
    Mistake(
        "a compressed body is unpacked in one go",
        "server/http/decompression.py",
        (("decompress(part, limits.UNPACKED_BYTES)", "decompress(part)"),),
        ("tests/server/test_compressed.py::test_a_turn_of_the_loop_unpacks_one_piece",),
    ),
    Mistake(
        "damage at the end of the log is no gap",
        "engine/reading/start_position.py",
        (("batches[0].first if batches else namespace.next", "batches[0].first if batches else index"),),
        (f"{DAMAGE}::test_every_reader_is_told_of_damage_once",),
    ),
    Mistake(
        "NDJSON passes over a gap",
        "server/api/stream_sink.py",
        (('            return msgspec.json.encode({"event": kind, **data}) + b"\\n"\n', '            return b""\n'),),
        (f"{DAMAGE}::test_every_reader_is_told_of_damage_once",),
    ),
    Mistake(
        "a stream that breaks off has its last chunk",
        "server/api/stream_sink.py",
        (
            (
                "    def _hang_up(self) -> None:\n",
                "    def _hang_up(self) -> None:\n        self.responder.write(_LAST_CHUNK)\n",
            ),
        ),
        ("tests/server/test_stopping.py::test_curl_fails_when_a_stream_breaks_off",),
    ),
    Mistake(
        "a heartbeat is a comment",
        "sse.py",
        (('b"retry: %d\\n" % RETRY_MS', 'b": ping\\n"'),),
        ("tests/server/test_go_clients.py::test_a_heartbeat_costs_no_event",),
    ),
    Mistake(
        "all clients get all fields",
        "server/api/subscribe.py",
        (("return Format.CORE", "return Format.SSE"),),
        ("tests/server/test_go_clients.py",),
    ),
    Mistake(
        "publishers of a commit are left alone with a mistake",
        "engine/namespace.py",
        (("                publishers.answer(told)\n", "                pass\n"),),
        ("tests/server/test_mistakes.py",),
    ),
    Mistake(
        "a mistake in handling a request leaves the client waiting",
        "server/api/dispatcher.py",
        (("            responder.fail(as_bus_error(error, responder.what))\n", "            pass\n"),),
        ("tests/server/test_mistakes.py",),
    ),
    Mistake(
        "a mistake in answering leaves the client waiting",
        "server/http/responder.py",
        (("            self.fail(as_bus_error(error, self.what))\n", "            pass\n"),),
        ("tests/server/test_mistakes.py",),
    ),
    Mistake(
        "a stream that is not read keeps all of a large event",
        "server/api/large_writes.py",
        (("        while self.bytes > self._most:\n", "        while False:\n"),),
        ("tests/server/test_pieces.py",),
    ),
    Mistake(
        "somebody joins while a commit is still being delivered",
        "engine/reading/plain_subscription.py",
        ((" or self._source.live.busy:", ":"),),
        ("tests/engine/delivery/test_fan_out.py::test_nobody_joins_while_a_commit_is_still_being_delivered",),
    ),
    Mistake(
        "a stream that is over by what it was sent joins a group",
        "engine/reading/plain_subscription.py",
        (("        if self._stage is not READING:\n", "        if False:\n"),),
        ("tests/engine/reading/test_plain_subscription.py",),
    ),
    Mistake(
        "publishers are answered before their events are synced",
        "engine/embedded/group_commit.py",
        (("sync=self._interval is None", "sync=False"),),
        ("tests/engine/embedded/test_group_commit.py",),
    ),
    Mistake(
        "a consumer that is closed hands out in the turn that was due",
        "engine/consumer/consumer.py",
        (("        if self._turn is NEVER:\n            return\n", ""),),
        ("tests/engine/consumer/test_consumer.py",),
    ),
    Mistake(
        "retention deletes what a durable consumer needs",
        "engine/embedded/retention.py",
        (("                cut = needed\n", "                pass\n"),),
        ("tests/engine/embedded/test_retention.py",),
    ),
    Mistake(
        "payloads may be nested as deep as they like",
        "payload.py",
        (("return has_many_brackets(text) and depth(text) > DEEPEST_PAYLOAD", "return False"),),
        ("tests/test_payload.py",),
    ),
    Mistake(
        "numbers that no decoder takes are stored",
        "payload.py",
        (("return inf in map(abs, map(float, set(words)))", "return False"),),
        ("tests/test_payload.py",),
    ),
    Mistake(
        "an upload takes all its lines in one turn",
        "server/api/publish_ndjson.py",
        (("lines = self._lines.take(most)", "lines = self._lines.take(1 << 30)"),),
        (f"{BOUNDS}::test_an_upload_is_published_by_turns",),
    ),
    Mistake(
        "large requests of many connections are all handled in one turn",
        "server/http/request_reader.py",
        (("if self._body.size > limits.SMALL_BODY:", "if False:"),),
        ("tests/server/test_turns.py::test_one_large_request_is_handled_a_turn",),
    ),
    Mistake(
        "long turns follow each other without a pause",
        "server/http/duty_cycle.py",
        (("if began < self._free_at:", "if False:"),),
        ("tests/server/test_duty_cycle.py",),
    ),
    Mistake(
        "uploads don't rest behind long turns",
        "server/api/upload_turns.py",
        (("self._loop.call_soon(self._duty.take_turn, self._turn)", "self._loop.call_soon(self._turn)"),),
        ("tests/server/test_duty_cycle.py::test_uploads_and_large_requests_share_the_pauses",),
    ),
    Mistake(
        "receipts nobody takes have no bound",
        "server/api/publish_ndjson.py",
        (("return self._receipts.held < self._memory.most // limits.UPLOAD_SHARE", "return True"),),
        (f"{BOUNDS}::test_receipts_nobody_takes_are_bounded_and_the_rest_of_the_body_waits",),
    ),
    Mistake(
        "bodies that come in have no sum",
        "server/http/memory_limits.py",
        (("if more > 0 and self._memory.used + more > self._memory.most:", "if False:"),),
        (f"{BOUNDS}::test_bodies_that_come_in_have_one_sum",),
    ),
    Mistake(
        "a server whose connections are used up tells nobody its health",
        "server/api/gate.py",
        (("if request.head.path not in self._table.probes:", "if True:"),),
        (f"{BOUNDS}::test_health_is_told_when_the_connections_are_used_up",),
    ),
    Mistake(
        "replies that were read count as unread",
        "engine/inboxes.py",
        (("inbox.next - inbox.read >= INBOX_REPLIES", "inbox.next - 1 >= INBOX_REPLIES"),),
        ("tests/server/test_replies.py::test_a_requester_that_reads_its_inbox_gets_replies_without_end",),
    ),
    Mistake(
        "a worker that dies is charged to all it had in flight",
        "engine/consumer/delivery.py",
        (("return CROWD if self.crowded or len(self.flying) > 1 else SINGLE", "return SINGLE"),),
        ("tests/engine/consumer/test_pending.py::test_the_poison_is_found_and_its_neighbours_lose_nothing",),
    ),
    Mistake(
        "a frozen worker gets events though others are there",
        "engine/consumer/pending.py",
        (("        if self.windows.heard or window.flying:\n", "        if window.flying:\n"),),
        ("tests/engine/consumer/test_pending.py::test_a_frozen_worker_loses_nothing_to_others_or_by_itself",),
    ),
    Mistake(
        "at the end of the log an ack leaves the next event of its key waiting",
        "engine/consumer/consumer.py",
        ((" and self.pending.none_ready):", "):"),),
        ("tests/server/test_durable.py::test_events_of_one_key_are_never_in_flight_at_once",),
    ),
    Mistake(
        "what a member leaves behind goes to the next one in one write",
        "engine/consumer/hand_out.py",
        (("TURN_BYTES: Final = 256 * 1024\n", "TURN_BYTES = 1 << 40\n"),),
        ("tests/engine/consumer/test_hand_out.py",),
    ),
    Mistake(
        "a commit in place is answered before it is synced",
        "engine/embedded/group_commit.py",
        (("committed(*self._append(batches))", "committed(*_append(self._store, batches, sync=False))"),),
        ("tests/engine/embedded/test_adaptive_committer.py",),
    ),
    Mistake(
        "a commit waits for as long as publishers come",
        "engine/embedded/gather_window.py",
        ((" and self._clock() < self._closes:", ":"),),
        (
            "tests/engine/embedded/test_gather_window.py::test_nobody_waits_for_longer_than_the_patience_however_many_come",
        ),
    ),
    Mistake(
        "each turn of the loop has a sync of its own",
        "engine/embedded/group_commit.py",
        (("    patience = PATIENCE\n", "    patience = 0.0\n"),),
        ("tests/engine/embedded/test_group_commit.py::test_a_commit_waits_for_more_publishers_only_if_it_is_synced",),
    ),
    Mistake(
        "a slow disk holds the loop",
        "engine/embedded/sync_speed.py",
        (("if self.mean > SLOW_SYNC:", "if False:"),),
        ("tests/engine/embedded/test_sync_speed.py::test_one_long_sync_is_enough_for_slow",),
    ),
    Mistake(
        "the loop commits while the thread works on the log",
        "engine/embedded/group_commit.py",
        (("self._speed.is_fast and self.is_idle:", "self._speed.is_fast:"),),
        ("tests/engine/embedded/test_adaptive_committer.py::test_while_the_thread_works_on_the_log_nobody_else_does",),
    ),
    Mistake(
        "replays leave no room for publishers",
        "engine/reading/paced_turns.py",
        (("if now < self._last + PAUSE and now < self._committed_at() + QUIET:", "if False:"),),
        ("tests/engine/reading/test_paced_turns.py",),
    ),
    Mistake(
        "single events are read anew each time",
        "engine/delivery/single_events.py",
        (("            if chunk[0].first <= index < chunk[-1].next:\n", "            if False:\n"),),
        ("tests/engine/delivery/test_single_events.py",),
    ),
    Mistake(
        "the place of a consumer is believed without its checksum",
        "engine/embedded/consumers/consumer_store.py",
        (("(self._version == 1 or crc32c(row.state) == row.crc)", "True"),),
        ("tests/engine/embedded/consumers/test_consumer_store.py",),
    ),
    Mistake(
        "a delay ends with a restart of the server",
        "engine/embedded/consumers/durable_consumer.py",
        (("if delivery.state is DELAYED else 0", "if False else 0"),),
        ("tests/server/test_durable.py::test_a_delay_goes_on_over_a_restart",),
    ),
    Mistake(
        "a scheduled event is answered before it is in the file",
        "engine/embedded/schedules/schedules.py",
        (
            (
                "        await scheduler.run(partial(_put, schedule=schedule))\n        return Scheduled(",
                "        scheduler._loop.create_task(scheduler.run(partial(_put, schedule=schedule)))\n"
                "        return Scheduled(",
            ),
        ),
        (f"{SCHEDULER}::test_what_is_answered_is_in_the_file",),
    ),
    Mistake(
        "what a crash left of a scheduled event is appended again",
        "engine/embedded/schedules/scheduler.py",
        (("        if begun.since and find(", "        if begun.since < 0 and find("),),
        (f"{SCHEDULER}::test_what_a_crash_left_between_appending_and_settling_is_not_appended_again",),
    ),
    Mistake(
        "nothing says that a scheduled event is about to be appended",
        "engine/embedded/schedules/store.py",
        (("                self._write(row.id, schedule, next_index)\n", "                pass\n"),),
        ("tests/engine/schedules/test_store.py",),
    ),
    Mistake(
        "a scheduled event that is being appended can be cancelled",
        "engine/embedded/schedules/store.py",
        (
            (
                "        if row.begun:\n            raise ConflictError(",
                "        if row.begun < 0:\n            raise ConflictError(",
            ),
        ),
        ("tests/engine/schedules/test_store.py",),
    ),
    Mistake(
        "a paused consumer goes on",
        "engine/consumer/consumer.py",
        (("if not (self.paused or self.held):", "if not self.held:"),),
        (f"{CHANGES}::test_nothing_is_handed_out_while_it_is_paused", MANAGED),
    ),
    Mistake(
        "a consumer goes on while it is counted what a move means",
        "engine/consumer/consumer.py",
        (("if not (self.paused or self.held):", "if not self.paused:"),),
        (f"{MANAGED}::test_what_is_published_and_settled_while_it_is_counted_makes_the_answer_no_less_true",),
    ),
    Mistake(
        "what is pending outlives a move",
        "engine/consumer/consumer.py",
        (("        self.pending.forget_before(self.namespace.next)\n", ""),),
        (MOVES, MANAGED),
    ),
    Mistake(
        "a move is answered before it is on disk",
        "engine/embedded/consumers/consumer_admin.py",
        (("self._consumers.write(replace(state, cursor=index, pending=burying, idle=0.0))", "str(burying)"),),
        (f"{MOVES}::test_it_goes_on_where_it_is_told",),
    ),
    Mistake(
        "a change is answered before it is on disk",
        "engine/embedded/consumers/consumer_admin.py",
        (
            (
                "        self._consumers.write(replace(self._consumers.state_of(durable, terms=terms), idle=0.0))\n",
                "",
            ),
        ),
        ("tests/faults/test_consumer_calls.py",),
    ),
    Mistake(
        "what is known of consumers is answered before it is synced",
        "engine/embedded/consumers/consumer_store.py",
        (("PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"),),
        ("tests/faults/test_consumer_calls.py::test_each_answer_comes_after_a_sync_of_what_it_says",),
    ),
    Mistake(
        "an older checkpoint takes the place of a move",
        "engine/embedded/consumers/consumer_store.py",
        (("if turn >= self._turns.get(name, 0):", "if True:"),),
        ("tests/engine/embedded/consumers/test_consumer_store.py",),
    ),
    Mistake(
        "who connects isn't written down, and the consumer is idle after a crash",
        "engine/embedded/consumers/durable_consumers.py",
        (("        durable.show_life(now=self._loop.time())\n        self.changed(durable.consumer)\n", ""),),
        (MANAGED,),
    ),
    Mistake(
        "the time in which the server is down counts as idle",
        "engine/embedded/consumers/durable_consumers.py",
        (("idle_since=self._loop.time())", "idle_since=0.0)"),),
        (MANAGED,),
    ),
    Mistake(
        "a manager has a consumer read what isn't within its rights",
        "server/api/management_permits.py",
        (("[*await self._patterns_of(name), *patterns] or None", "await self._patterns_of(name) or patterns or None"),),
        ("tests/server/test_matrix.py",),
    ),
    Mistake(
        "a segment that is written anew takes its place before it is on the disk",
        "storage/rewriting.py",
        (("    fresh.seal()\n", ""),),
        (f"{DELETION}::test_no_power_cut_loses_a_neighbour_or_brings_back_what_was_deleted",),
    ),
    Mistake(
        "a deletion is answered before the new name is on the disk",
        "storage/rewriting.py",
        (("    files.sync_directory(rewritten.segment.path.parent)\n", ""),),
        (f"{DELETION}::test_no_power_cut_loses_a_neighbour_or_brings_back_what_was_deleted",),
    ),
    Mistake(
        "what was deleted is still in memory",
        "engine/namespace.py",
        (
            (
                "        self._tail = TailCache(TAIL_BYTES)\n"
                "        self._single_events = SingleEvents(self.read)\n\n    def frame",
                "        pass\n\n    def frame",
            ),
        ),
        ("tests/server/test_deletion.py::test_a_subscriber_passes_by",),
    ),
    Mistake(
        "a segment that another one has all events of is removed before its sidecar",
        "storage/rewriting.py",
        (("for suffix in (SIDECAR_SUFFIX, LOG_SUFFIX)", "for suffix in (LOG_SUFFIX, SIDECAR_SUFFIX)"),),
        (REWRITING,),
    ),
    Mistake(
        "segments that another one has all events of stay when a log is opened",
        "storage/recovery.py",
        (("        if not self._read_only:\n            remove_covered(covered, self._files)\n", ""),),
        (REWRITING,),
    ),
    Mistake(
        "a reader takes a segment that became part of another one for lost",
        "storage/log_reader.py",
        (("            if found := self._covering(info):\n                return found\n", ""),),
        (REWRITING,),
    ),
    Mistake(
        "behind a damaged run of deleted events nothing is looked for",
        "storage/scan.py",
        (("skipped * (MOST_RUN if self.codec.has_runs else 1)", "skipped"),),
        (REWRITING,),
    ),
    Mistake(
        "a tombstone goes before what it deletes",
        "engine/embedded/compaction/superseded.py",
        (("identity and identity not in self.held and", "identity and"),),
        (COMPACTING,),
    ),
    Mistake(
        "a compaction forgets what the one before it had to leave",
        "engine/embedded/compaction/progress.py",
        (("self.cleaned, self.held = done.until, done.held", "self.cleaned = done.until"),),
        (COMPACTING,),
    ),
    Mistake(
        "a compaction takes events whose keys are in the duplicate window",
        "engine/embedded/compaction/superseded.py",
        (("if not batch.keyed or batch.next <= self.window:", "if True:"),),
        (COMPACTING,),
    ),
    Mistake(
        "a tombstone goes although events behind it were not looked at",
        "engine/embedded/compaction/superseded.py",
        (("if batch.first >= self.until or batch.is_run:", "if batch.is_run:"),),
        (COMPACTING,),
    ),
    Mistake(
        "dead letters supersede each other",
        "engine/embedded/compaction/identities.py",
        (("if name == NO_SUBJECT or name.startswith(self._letters):", "if name == NO_SUBJECT:"),),
        (COMPACTING,),
    ),
    Mistake(
        "a table of subjects is believed that is of other segments than the log has",
        "engine/embedded/subjects/table.py",
        (("self._known.of.segments == self._log.identity(upto)", "True"),),
        (SUBJECT_CALLS,),
    ),
    Mistake(
        "a table of subjects is written while segments are removed, which it counts still",
        "engine/embedded/subjects/table.py",
        (
            (
                "        if self._removals.under_way:\n            return\n        if self._broken",
                "        if self._broken",
            ),
            ("if self._removals.under_way or self._upto < upto:", "if self._upto < upto:"),
        ),
        (f"{SUBJECT_TABLE}::test_nothing_is_written_while_some_of_the_log_is_removed",),
    ),
    Mistake(
        "the newest event of a subject is deleted, and is the newest still",
        "engine/embedded/subjects/store.py",
        (("if row.last == fewer[row.subject].newest", "if False"),),
        (SUBJECT_TABLE,),
    ),
    Mistake(
        "a consumer that begins with the newest of each subject forgets over a restart that it does",
        "engine/embedded/consumers/durable_consumer.py",
        (("            newest_until=consumer.newest_until,\n", ""),),
        (f"{FROM_LAST}::test_it_goes_on_over_crashes",),
    ),
    Mistake(
        "a conditional publish looks at what is committed alone",
        "engine/embedded/log_end.py",
        (
            ("return LogEnd(name, committed, next(", "return LogEnd(name, committed, committed or next("),
            ("next - 1, last), expected.last", "next - 1, next - 1), expected.last"),
        ),
        (CONDITIONAL,),
    ),
    Mistake(
        "a publisher is refused for an event that may be refused itself",
        "engine/embedded/log_end.py",
        (("if self.committed == expected:", "if self.committed == expected == self.gathered:"),),
        (CONDITIONAL,),
    ),
    Mistake(
        "who waits for where the log ends is stored wherever it ends",
        "engine/embedded/log_namespace.py",
        (("publisher, expected=expected, now=max(", "publisher, expected=None and expected, now=max("),),
        (CONDITIONAL,),
    ),
    Mistake(
        "the key of a conditional publish that is refused stays claimed",
        "engine/embedded/log_namespace.py",
        (("            if not met:\n", "            if met is None:\n"),),
        (CONDITIONAL,),
    ),
    Mistake(
        "the first of the batches that have gathered says where a subject ends",
        "engine/embedded/log_end.py",
        (("in reversed(gathered))", "in gathered)"),),
        (CONDITIONAL,),
    ),
    Mistake(
        "events that are taken in while others are refused are committed twice",
        "engine/embedded/log_namespace.py",
        (("            if not self._scheduled:\n                self._schedule()", "            self._schedule()"),),
        (CONDITIONAL,),
    ),
    Mistake(
        "an event between two pages is on neither",
        "engine/reading/newest_first.py",
        (("_next(namespace, window.events[0][0])", "_next(namespace, window.events[0][0] - 1)"),),
        (NEWEST_FIRST,),
    ),
    Mistake(
        "a page may cost any number of reads",
        "engine/reading/newest_first.py",
        (("while look > 0 and end", "while end"),),
        (NEWEST_FIRST,),
    ),
    Mistake(
        "the table of namespaces takes its place before it is on the disk",
        "engine/embedded/namespace_table.py",
        (("        file.write(0, encode(rows))\n        file.sync()\n", "        file.write(0, encode(rows))\n"),),
        (f"{NAMESPACE_TABLE}::test_it_is_as_before_or_as_it_was_to_be_whenever_the_power_is_cut",),
    ),
    Mistake(
        "a namespace is answered before the new name of its table is on the disk",
        "engine/embedded/namespace_table.py",
        (("    files.rename(new, path)\n    files.sync_directory(path.parent)\n", "    files.rename(new, path)\n"),),
        ("tests/faults/test_namespace_calls.py::test_each_answer_comes_after_a_sync_of_the_table",),
    ),
    Mistake(
        "a table of namespaces is believed without its checksum",
        "engine/embedded/namespace_table.py",
        (("if crc32c(lines) != int(head[2], 16):", "if False:"),),
        (f"{NAMESPACE_TABLE}::test_damage_is_noticed",),
    ),
    Mistake(
        "a namespace is deleted from the table before its directory is",
        "engine/embedded/namespace_admin.py",
        (
            (
                "            self._directory.remove_log(name)\n        self._table.remove(name)\n",
                "            self._table.remove(name)\n            self._directory.remove_log(name)\n",
            ),
        ),
        (f"{NAMESPACE_ADMIN}::test_a_deletion_that_a_disk_stops_is_finished_by_another_attempt",),
    ),
    Mistake(
        "a namespace that can't be opened is made all the same",
        "engine/embedded/namespace_admin.py",
        (("            await self._in_thread(lambda: self._take_back(name, before))\n", ""),),
        (f"{NAMESPACE_ADMIN}::test_one_that_can_not_be_opened_is_not_made",),
    ),
    Mistake(
        "a namespace that was deleted leaves its consumers' names in the file",
        "engine/embedded/namespace_admin.py",
        (("        self._served.erase()\n", ""),),
        (f"{NAMESPACES}::test_what_is_deleted_is_gone_with_its_bytes",),
    ),
    Mistake(
        "what a table says of a namespace takes the place of what another says already",
        "transfer/directory_target.py",
        (("if row.name not in there and", "if"),),
        (f"{KEPT}::test_what_the_other_directory_says_stays",),
    ),
    Mistake(
        "a log is written where the next server removes it",
        "transfer/directory_target.py",
        (("if row and row.state is State.DELETED:", "if False:"),),
        (f"{KEPT}::test_a_log_that_no_server_would_read_is_not_written",),
    ),
    Mistake(
        "of several events with one id the first is picked",
        "server/api/stored_events.py",
        (("    if len(found) > 1:\n", "    if False:\n"),),
        (f"{STORED_EVENTS}::test_none_of_several_is_picked_unless_its_namespace_is_said",),
    ),
    Mistake(
        "whoever asks for an id learns where else there is one",
        "server/api/permits.py",
        (
            (
                "        within = [event for event in found if rights.may_subscribe",
                "        within = [event for event in found if rights or rights.may_subscribe",
            ),
        ),
        (f"{STORED_EVENTS}::test_only_those_learn_of_an_event_who_may_know_of_it",),
    ),
    Mistake(
        "a deletion leaves the active segment as it is",
        "engine/embedded/deletion.py",
        (("        if await asyncio.to_thread(_has_some", "        if False and await asyncio.to_thread(_has_some"),),
        ("tests/server/test_deletion.py::test_what_a_pattern_takes_is_deleted_and_its_bytes_are_nowhere",),
    ),
)
