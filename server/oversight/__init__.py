"""Documents and directions that nobody touches, documents past their deadline, and what the head is told of them."""
