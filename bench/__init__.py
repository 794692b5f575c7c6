"""CSV into MongoDB, ours and the usual ways, on one server in one run: `python -m bench`."""
