"""The application: what composes the signer, the messengers and the exchange into one product."""
