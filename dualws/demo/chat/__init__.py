"""The chat: rooms, messages, and who is there."""
