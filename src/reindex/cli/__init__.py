"""The command line: parse, call one service, print. Exit codes are decided here and nowhere else."""

import gc

# What imports make stays for good; to look for garbage among it is a quarter of what they cost.
gc.set_threshold(50_000)
