"""Django's SQLite backend for the web processes: a thread that gives its connection up leaves it for the next."""
