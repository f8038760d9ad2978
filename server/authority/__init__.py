"""Authority to sign in another's place: grants, signed by whoever gives them, asked again in the moment of signing (AUT-1 to AUT-8)."""
