"""The same jobs done by Shoal and by others, alternating, in one run: `python -m benches.peers`."""
