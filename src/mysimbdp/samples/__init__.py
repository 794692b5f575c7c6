"""Sample data: taxi trips of any size, small public sets, and one file for each violation."""
