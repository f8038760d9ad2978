"""PDF revisions: reading, judging, preparing, assembling. See signing/README.md."""
