"""The same exchanges between nodes of Shoal's and of others', in one run: `python -m benches.peers.exchange`."""
