"""Finding peers: each file is one way to learn who may have something and where they are.

`base` says what a way does; `static` and `ticket` know what they were told, `mdns` asks the local network.
"""
