"""Rules: turns schemas into contracts and checks files; only this package imports pandera."""
