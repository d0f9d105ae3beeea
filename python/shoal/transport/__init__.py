"""Transports: how bytes get from here to there and back. Nothing here knows what the bytes mean, or who the peer is.

`base` says what a transport does, `tcp` and `memory` do it, `dial` tries several addresses at once.
"""
