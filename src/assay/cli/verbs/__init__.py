"""The verbs of `products`: a module each, called `verb`; none is imported before it is asked for."""
