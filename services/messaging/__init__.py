"""Conversations, messages and their live delivery over WebSockets."""
