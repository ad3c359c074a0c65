"""What is measured of a system, one module per question: how soon, how clearly, which paths."""
