"""Images of signatures and seals: put by their owners, drawn on the page by the PDF room (rules SIG-1, SIG-2)."""
