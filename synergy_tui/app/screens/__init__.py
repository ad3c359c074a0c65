"""What all screens share, and the smaller ones: picker, log, help, sweep."""
