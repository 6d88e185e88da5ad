"""The engine that stores in NATS JetStream: any number of Bus servers in front of one cluster."""
