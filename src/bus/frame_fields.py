"""What the JSON of a frame says: all of it, or the one field that somebody asks for, which takes less time.

The structs are apart from `bus.frame`, because a module with structs can't be compiled.
"""

from __future__ import annotations

import msgspec

from bus.event import Dead


class FrameFields(msgspec.Struct, omit_defaults=True, gc=False):
    """What a frame's JSON says; optional fields are empty where there are none.

    The payload is a part of that JSON, so whoever keeps this keeps all of it in memory.
    """

    id: str
    subject: str
    payload: msgspec.Raw
    created_at: str
    index: int
    key: str = ""
    trace_id: str = ""
    response_subject: str = ""
    headers: dict[str, str] | None = None
    ttl: str = ""
    attempts: int = 0


class _Key(msgspec.Struct, gc=False):
    key: str = ""


class _Payload(msgspec.Struct, gc=False):
    payload: msgspec.Raw


class _Dead(msgspec.Struct, gc=False):
    dead: Dead | None = None


class _ResponseSubject(msgspec.Struct, gc=False):
    response_subject: str = ""


decode_fields = msgspec.json.Decoder(FrameFields).decode
decode_key = msgspec.json.Decoder(_Key).decode
decode_payload = msgspec.json.Decoder(_Payload).decode
decode_dead = msgspec.json.Decoder(_Dead).decode
decode_response_subject = msgspec.json.Decoder(_ResponseSubject).decode
