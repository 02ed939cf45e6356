"""Pages for people who run no commands: served live, or written as files."""
