"""The client on an asyncio event loop."""
