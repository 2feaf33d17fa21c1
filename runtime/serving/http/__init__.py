"""The service over HTTP, and its page. It needs the extra `serve`: `server.py` says so where that is missing."""
