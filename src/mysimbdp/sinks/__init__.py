"""Where rows go: encoded in the child process, written by the parent."""
