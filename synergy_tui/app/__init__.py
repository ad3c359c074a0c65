"""The Textual app: screens and widgets over a session that follows a log."""
