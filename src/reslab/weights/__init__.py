"""Stored networks: trained here or imported."""
