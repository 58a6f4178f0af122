"""The batch lane: texts gathered into jobs, sent by the Batch API, and their vectors collected."""
