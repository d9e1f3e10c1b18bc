"""Requests and answers over real sockets."""
