"""The pure heart: values in, values out; no clock, path, log or randomness."""
