"""The command line: parse, call one service, print. Exit codes are decided here and nowhere else."""
