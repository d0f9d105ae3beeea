"""Benchmarks: suites of pytest-benchmark, and `benches.peers`, which does the same jobs with other systems."""
