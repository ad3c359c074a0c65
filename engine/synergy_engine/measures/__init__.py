"""What is measured of a system: how soon, how clearly, along which paths, how diverse."""
