"""Page images of a revision, and the manifest that a device signs."""
