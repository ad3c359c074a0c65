"""The inspector: each head at one probe, and what if a head were off."""
