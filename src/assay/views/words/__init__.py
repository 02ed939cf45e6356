"""Text made of views: what a person reads."""
