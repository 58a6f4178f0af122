"""The process that keeps an index fresh and answers queries: waits, works, tells how it is, stops cleanly."""
