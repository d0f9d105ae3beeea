"""Exchanging blocks with peers: what to ask of whom (`session`), and what to send whom (`server`).

Everything here is pure: no await, no clock, no dice but those of a seed, no files. `docs/exchange.md` says how it decides.
"""
