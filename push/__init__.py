"""Messages to devices: content-free pushes, their outcomes, retry schedule and transports.

The package stands alone: it knows nothing of documents, people or databases. See `push/README.md`.
"""
