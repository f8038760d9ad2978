"""The installable mobile web client: static files without a build step, and the routes that serve them."""
