"""What became of every ingestion: reports, logs, statistics, plots and mail."""
