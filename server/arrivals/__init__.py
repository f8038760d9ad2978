"""Documents of others: what came over the exchange, judged, registered under the agency's arrival number, or returned."""
