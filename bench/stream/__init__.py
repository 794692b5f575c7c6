"""Kafka into MongoDB, ours and the usual ways, on one broker and one mongod in one run.

Run it with `python -m bench.stream`.
"""
