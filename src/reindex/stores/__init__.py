"""What is on disk: the ledger, the vector cache, the LanceDB tables and the published pointer."""
