"""The demonstration: stand-ins for outside parties (FCM, certificate authority, time stamping) and what drives them.

Nothing here is used by the product. Its keys are made to be seen and its certificates have no legal value.
"""
