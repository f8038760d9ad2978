"""Live updates: a stream a client that says that there is something newer, never what. The truth is the database."""
