"""Making the world agree with the declarations: observe, decide, build, judge, record, release."""
