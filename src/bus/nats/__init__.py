"""A client of NATS and JetStream, made of callbacks.

It knows subjects, messages, streams and consumers, and nothing of what they stand for.

     client        all that a client has, and whether a server can be used
     api           JetStream: streams, consumers, storing
     ordered       every message of a stream in its order, pushed
     pulling       deliveries of a consumer that is shared, in portions
     reading       stored messages without a consumer
     configs       streams and consumers as they are to be, and as they are
     delivery      a delivery, and what is said of it
     requests      requests and their answers
     cluster       the servers as one: subscriptions that outlive connections
     connection    one connection to one server
     parser        the byte stream, cut into messages
     message       a message and its headers
     credentials   who a client is
     address       where servers are
     errors        what can go wrong, by what is known of the request that failed
"""

from bus.nats.address import Address, Location
from bus.nats.api import PUBLISH_SECONDS, JetStream
from bus.nats.client import Client, check_server, connect
from bus.nats.cluster import Cluster, Handler, Listener, Subscription
from bus.nats.configs import (
    NANOSECONDS,
    AccountInfo,
    ClusterInfo,
    ConsumerConfig,
    ConsumerInfo,
    PeerInfo,
    Placement,
    PubAck,
    SequencePair,
    StreamConfig,
    StreamInfo,
    StreamState,
)
from bus.nats.connection import ServerInfo
from bus.nats.credentials import Credentials, UserKey
from bus.nats.delivery import ACK, EXTEND, REJECT, Delivery, Settlement, nack
from bus.nats.errors import (
    ApiError,
    CannotConnectError,
    ConnectionLostError,
    DisconnectedError,
    NatsError,
    NoAnswerError,
    NoRespondersError,
    NotDeliveredError,
    NotFoundError,
    PayloadTooLargeError,
    ProtocolError,
    RefusedError,
    SettingsError,
    StatusError,
    UnauthorizedError,
    UnknownOutcomeError,
    UnsuitableError,
)
from bus.nats.message import Message, decode_headers, encode_headers
from bus.nats.ordered import OrderedConsumer
from bus.nats.pulling import Heard, Puller, PullOptions
from bus.nats.reading import Chunk, StoredMessage
from bus.nats.requests import Done, Request, Requests

__all__ = [
    "ACK",
    "EXTEND",
    "NANOSECONDS",
    "PUBLISH_SECONDS",
    "REJECT",
    "AccountInfo",
    "Address",
    "ApiError",
    "CannotConnectError",
    "Chunk",
    "Client",
    "Cluster",
    "ClusterInfo",
    "ConnectionLostError",
    "ConsumerConfig",
    "ConsumerInfo",
    "Credentials",
    "Delivery",
    "DisconnectedError",
    "Done",
    "Handler",
    "Heard",
    "JetStream",
    "Listener",
    "Location",
    "Message",
    "NatsError",
    "NoAnswerError",
    "NoRespondersError",
    "NotDeliveredError",
    "NotFoundError",
    "OrderedConsumer",
    "PayloadTooLargeError",
    "PeerInfo",
    "Placement",
    "ProtocolError",
    "PubAck",
    "PullOptions",
    "Puller",
    "RefusedError",
    "Request",
    "Requests",
    "SequencePair",
    "ServerInfo",
    "SettingsError",
    "Settlement",
    "StatusError",
    "StoredMessage",
    "StreamConfig",
    "StreamInfo",
    "StreamState",
    "Subscription",
    "UnauthorizedError",
    "UnknownOutcomeError",
    "UnsuitableError",
    "UserKey",
    "check_server",
    "connect",
    "decode_headers",
    "encode_headers",
    "nack",
]
