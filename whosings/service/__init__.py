"""A service and a page: the same answers over HTTP."""
