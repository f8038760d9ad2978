"""Signed webhooks to the systems that registered them (Standard Webhooks)."""
