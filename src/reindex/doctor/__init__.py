"""`doctor`: is everything here that an index needs; what is not, and what to do about it."""
